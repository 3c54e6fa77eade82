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
)
from models.distributions.elementwise import positive
from models.estimators.bounds import bits_per_dim
from models.vae.model import VAE
from models.vae.networks import ResidualBlock
from models.vae_config import VAEConfig
from tests.models.family_cases import CONV as CONV_FIELDS
from tests.models.family_cases import FAMILIES, family
from training.fit.start import num_start_images, start_from_marginal, start_glorot

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


@pytest.mark.parametrize("name", FAMILIES)
def test_glorot_weights_fill_their_range_and_every_bias_is_zero(name):
    fields = {} if FAMILIES[name].get("encoder", CONV) is None else {"encoder": CONV_FIELDS}
    torch.manual_seed(1)
    vae = VAE(family(name, **fields))
    zero = {block.second for block in vae.modules() if isinstance(block, ResidualBlock)}
    own = {
        parameter: value.detach().clone()
        for parameter, value in vae.named_parameters()
        if ".body." not in f".{parameter}"
    }
    start_glorot(vae)
    layers = [m for m in vae.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) >= 2
    for layer in layers:
        assert not layer.bias.any()
        if layer in zero:
            assert not layer.weight.any()
            continue
        fans = layer.weight[0].numel() + layer.weight.numel() // layer.weight.shape[1]
        edge, count = (6 / fans) ** 0.5, layer.weight.numel()
        assert float(layer.weight.detach().abs().max()) <= edge
        # The variance of a uniform is edge^2 / 3; that of its square, 4 edge^4 / 45.
        error = (4 / 45 / count) ** 0.5 * edge**2
        assert abs(float(layer.weight.detach().square().mean()) - edge**2 / 3) < 5 * error
    for parameter, value in own.items():  # pictures of labels, and a prior's own parameters
        assert torch.equal(vae.get_parameter(parameter), value)


def test_glorot_spreads_the_locations_of_a_tanh_encoder_over_its_scales():
    network = MLPConfig(hidden=(200, 200), activation="tanh")
    vae = VAE(
        VAEConfig(
            image_shape=(1, 28, 28),
            latent_shape=(50,),
            likelihood=BernoulliConfig(),
            encoder=network,
            decoder=network,
        )
    )
    x = (torch.rand(200, 1, 28, 28) < 0.13).float()
    ratio = {}
    for init in ("torch", "glorot"):
        if init == "glorot":
            start_glorot(vae)
        loc, raw_scale = vae.posterior_params(x).detach().unbind(1)
        ratio[init] = float(loc.std(0).mean() / positive(raw_scale).mean())
    assert ratio["glorot"] > 3 * ratio["torch"]


def test_the_last_weights_are_kept_whole_where_asked():
    vae, untouched = model(BernoulliConfig(), MLP), model(BernoulliConfig(), MLP)
    shrunk = model(BernoulliConfig(), MLP)
    start_from_marginal(vae, torch.zeros(4, 1, 9, 10), kept=1.0)
    start_from_marginal(shrunk, torch.zeros(4, 1, 9, 10))
    first = untouched.decoder.body[-1].weight
    assert torch.equal(vae.decoder.body[-1].weight, first)
    assert torch.allclose(shrunk.decoder.body[-1].weight, 0.3 * first)


def test_large_pictures_need_fewer_of_them():
    assert num_start_images(model(BernoulliConfig())) == 2**14 // 90
    assert (
        num_start_images(
            VAE(model(BernoulliConfig()).config.model_copy(update={"image_shape": (1, 64, 64)}))
        )
        == 8
    )
