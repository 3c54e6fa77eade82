"""Training may start at the pixels' own distribution, whatever z is."""

import numpy as np
import pytest
import torch

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    ConvConfig,
    DiscretizedLogisticConfig,
    MLPConfig,
    NormalConfig,
    VAEConfig,
)
from models.estimators.bounds import bits_per_dim
from models.vae.model import VAE
from training.fit.start import num_start_images, start_from_marginal

CONV = ConvConfig(channels=(8, 8), blocks=(1, 1))
MLP = MLPConfig(hidden=(8,))


def model(likelihood, network=CONV, channels=1, **more) -> VAE:
    torch.manual_seed(3)
    return VAE(
        VAEConfig(
            image_shape=(channels, 9, 10),
            latent_shape=(2,),
            likelihood=likelihood,
            encoder=network,
            decoder=network,
            **more,
        )
    )


def log_likelihood(vae: VAE, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
    z = torch.randn(len(x), 2, generator=torch.Generator().manual_seed(0))
    return vae.likelihood(z, y).log_prob(x).mean().detach()


@pytest.mark.parametrize("network", [CONV, MLP], ids=["conv", "mlp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_logistics_start_near_the_entropy_of_single_pixels(network, channels):
    levels = np.random.default_rng(0).normal(8, 1, size=(16, channels, 9, 10)).round()
    x = torch.tensor(levels, dtype=torch.float32)
    vae = model(DiscretizedLogisticConfig(levels=32, num_mixtures=3), network, channels)
    before = bits_per_dim(log_likelihood(vae, x), x[0].numel())
    start_from_marginal(vae, x)
    after = bits_per_dim(log_likelihood(vae, x), x[0].numel())
    assert before > 4.9
    assert after < 3.8


@pytest.mark.parametrize(
    "likelihood", [NormalConfig(scale="per_pixel"), ContinuousBernoulliConfig()]
)
def test_densities_start_better_too(likelihood):
    x = 0.1 * torch.rand(16, 1, 9, 10)
    vae = model(likelihood)
    before = log_likelihood(vae, x)
    start_from_marginal(vae, x)
    assert log_likelihood(vae, x) > before + 50


def test_a_learned_scale_starts_at_the_spread_of_pixels():
    x = 0.5 + 0.1 * torch.randn(16, 1, 9, 10, generator=torch.Generator().manual_seed(1))
    vae = model(NormalConfig(scale="learned"))
    start_from_marginal(vae, x)
    scale = vae.likelihood(torch.zeros(1, 2)).scale
    assert scale.detach().max().item() == pytest.approx(0.1, rel=0.2)


def test_labels_do_not_hinder():
    x, y = (torch.rand(16, 1, 9, 10) < 0.1).float(), torch.zeros(16, dtype=torch.int64)
    vae = model(BernoulliConfig(), num_labels=3)
    before = log_likelihood(vae, x, y)
    start_from_marginal(vae, x)
    assert log_likelihood(vae, x, y) > before + 20


def test_nothing_but_what_grows_changes_and_no_gradient_is_left():
    vae, untouched = model(BernoulliConfig()), model(BernoulliConfig())
    start_from_marginal(vae, torch.zeros(4, 1, 9, 10))
    changed = {
        name
        for (name, new), old in zip(vae.named_parameters(), untouched.parameters(), strict=True)
        if not torch.equal(new, old)
    }
    growing = {f"decoder.body.{i}.conv.{name}" for i in (4, 6) for name in ("weight", "bias")}
    assert changed == growing
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_large_pictures_need_fewer_of_them():
    assert num_start_images(model(BernoulliConfig())) == 2**14 // 90
    assert (
        num_start_images(
            VAE(model(BernoulliConfig()).config.model_copy(update={"image_shape": (1, 64, 64)}))
        )
        == 8
    )
