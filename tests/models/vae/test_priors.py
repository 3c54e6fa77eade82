"""Priors: their densities, their draws, and what they store."""

from copy import deepcopy
from typing import get_args

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from models.config import PriorConfig
from models.distributions.batch_noise import BatchNoise
from models.distributions.kl import kl_divergence
from models.distributions.normals import DiagonalNormal
from models.errors import UnsupportedOperation
from models.vae import VAE
from models.vae.priors import PRIORS
from tests.models.family_cases import family


def no_encoder(unit):
    pytest.fail("this prior does not contain the posterior")


def standard(*latent_shape):
    config = family("standard", latent_shape=latent_shape)
    return PRIORS["standard_normal"](config.prior, config)


def test_the_config_and_the_module_name_the_same_kinds():
    (union, _) = get_args(PriorConfig)
    assert {part.model_fields["kind"].default for part in get_args(union)} == PRIORS.keys()


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2), (2, 1, 3)])
def test_it_is_torchs_standard_normal_with_an_empty_batch_shape(latent_shape):
    prior = standard(*latent_shape).double()(None, no_encoder)
    zero = torch.zeros(latent_shape, dtype=torch.float64)
    theirs = Independent(Normal(zero, zero + 1), len(latent_shape))
    z = torch.linspace(-30, 30, 4 * zero.numel(), dtype=torch.float64).reshape(2, 2, *latent_shape)
    assert (prior.batch_shape, prior.event_shape) == ((), latent_shape)
    torch.testing.assert_close(prior.log_prob(z), theirs.log_prob(z), rtol=1e-13, atol=1e-12)


def test_a_prior_that_was_first_made_for_serving_can_be_trained_through():
    module = standard(3)
    with torch.inference_mode():
        served = module(None, no_encoder)
    scale = torch.ones(2, 3, requires_grad=True)
    q = DiagonalNormal(torch.zeros(2, 3), 2 * scale, event_dim=1)
    kl_divergence(q, module(None, no_encoder)).sum().backward()
    assert scale.grad is not None
    assert module(None, no_encoder) is served
    assert module.double()(None, no_encoder).mean.dtype == torch.float64  # made anew


def test_its_draws_are_the_noise_itself():
    prior = standard(3)(None, no_encoder)
    assert prior.noise_shape((4,)) == (4, 3)
    noise = torch.linspace(-3, 3, 12).reshape(4, 3)
    assert torch.equal(prior.from_noise(noise), noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_follows_the_models_dtype_and_stores_nothing(dtype):
    module = standard(3).to(dtype)
    prior = module(None, no_encoder)
    assert prior.loc.dtype == prior.scale.dtype == dtype
    assert module.state_dict() == {}
    assert list(module.parameters()) == []


# The mixture


def model(name, **fields):
    torch.manual_seed(0)
    return VAE(family(name, **fields)).double().eval()


def test_a_mixture_prior_is_torchs_mixture_of_what_it_stores():
    prior = model("mixture", latent_shape=(2, 2)).prior_module
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([0.5, -1.0, 2.0]))
        prior.raw_scale.add_(torch.randn(3, 2, 2))
    scale = torch.nn.functional.softplus(prior.raw_scale)
    theirs = MixtureSameFamily(
        Categorical(logits=prior.logits), Independent(Normal(prior.loc, scale), 2)
    )
    z = torch.randn(5, 4, 2, 2, dtype=torch.float64) * 3
    torch.testing.assert_close(
        prior(None, no_encoder).log_prob(z), theirs.log_prob(z), rtol=1e-12, atol=1e-12
    )


def test_a_mixtures_components_begin_as_unit_normals_in_different_places():
    components = model("mixture").prior_module(None, no_encoder).components
    torch.testing.assert_close(components.scale, torch.ones(3, 2).double(), rtol=1e-7, atol=0)
    assert len(components.loc.unique(dim=0)) == 3


# VampPrior


def vamp(**fields):
    vae = model("vamp", **fields)
    with torch.no_grad():  # so that its components differ
        vae.prior_module.pseudo_inputs.copy_(torch.rand(vae.prior_module.pseudo_inputs.shape))
        vae.encoder.body[-1].weight.mul_(8)
    return vae


@pytest.mark.parametrize("levels", [2, 17])
def test_a_vamp_priors_density_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(levels):
    kind = "bernoulli" if levels == 2 else "discretized_normal"
    extra = {} if levels == 2 else {"levels": levels}
    vae = vamp(likelihood={"kind": kind, **extra})
    with torch.no_grad():
        vae.prior_module.pseudo_inputs[0] += 2  # pictures end at 1
    z = torch.randn(6, 5, 2, dtype=torch.float64)
    q = vae.posterior(vae.prior_module.pseudo_inputs.clamp(0, 1) * vae.unit_scale)
    mean = q.log_prob(z.unsqueeze(-2)).exp().mean(-1)
    torch.testing.assert_close(vae.prior().log_prob(z), mean.log(), rtol=1e-11, atol=1e-11)


def test_a_vamp_priors_draws_come_from_random_pseudo_inputs():
    vae = vamp()
    noise = BatchNoise(0, 1, "prior").draw_for(vae.prior(), 4000, dtype=torch.float64)
    cold = vae.prior().from_noise(noise, temperature=0.0)[:, 0]
    places, counts = cold.unique(dim=0, return_counts=True)
    assert len(places) == 4
    assert bool(((counts / 4000 - 0.25).abs() < 4 * (0.25 * 0.75 / 4000) ** 0.5).all())
    assert len(cold[:10].unique(dim=0)) > 1


def test_a_frozen_vamp_prior_gives_the_same_numbers_without_the_encoder():
    vae = vamp()
    z = torch.randn(6, 5, 2, dtype=torch.float64)
    noise = torch.randn(6, 3, dtype=torch.float64)
    before = vae.prior().log_prob(z), vae.prior().from_noise(noise)
    vae.freeze()
    vae.encoder.register_forward_hook(lambda *_: pytest.fail("the encoder ran"))
    assert torch.equal(vae.prior().log_prob(z), before[0])
    assert torch.equal(vae.prior().from_noise(noise), before[1])


@pytest.mark.parametrize("change", ["load", "write", "double"])
def test_a_frozen_vamp_prior_follows_the_weights(change):
    vae, other = vamp(), vamp()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    frozen = (vae.float() if change == "double" else vae).freeze()
    if change == "load":
        frozen.load_state_dict(other.state_dict())
    elif change == "write":
        for parameter, new in zip(frozen.parameters(), other.parameters(), strict=True):
            parameter.copy_(new.detach())
    else:
        other.load_state_dict(frozen.state_dict())
        frozen.double()
    z = torch.randn(6, 5, 2, dtype=torch.float64)
    assert torch.equal(frozen.prior().log_prob(z), other.prior().log_prob(z))


def test_a_frozen_model_cannot_be_trained_and_a_copy_of_it_neither():
    vae = vamp().freeze()
    assert not any(parameter.requires_grad for parameter in vae.parameters())
    for frozen in (vae, deepcopy(vae)):
        assert frozen.eval() is frozen
        with pytest.raises(UnsupportedOperation, match=r"frozen.*received train\(\).*Build a VAE"):
            frozen.train()


def test_another_frozen_model_computes_nothing_ahead():
    vae = model("mixture").freeze()
    assert not any(parameter.requires_grad for parameter in vae.parameters())
    assert vae.prior() is not vae.prior()


# p(z|y)


def test_a_label_prior_is_the_normal_of_each_label():
    vae = model("label-prior", latent_shape=(2, 2))
    with torch.no_grad():
        vae.prior_module.loc.copy_(torch.randn(3, 2, 2))
        vae.prior_module.raw_scale.copy_(torch.randn(3, 2, 2))
    y = torch.tensor([2, 0, 0, 1])
    d = vae.prior(y)
    assert (d.batch_shape, d.event_shape) == ((4,), (2, 2))
    scale = torch.nn.functional.softplus(vae.prior_module.raw_scale)
    z = torch.randn(5, 4, 2, 2, dtype=torch.float64)
    by_hand = torch.stack(
        [
            Normal(vae.prior_module.loc[c], scale[c]).log_prob(z[:, i]).sum((1, 2))
            for i, c in enumerate(y)
        ]
    ).T
    torch.testing.assert_close(d.log_prob(z), by_hand, rtol=1e-12, atol=1e-12)


def test_an_autoencoder_has_no_prior():
    with pytest.raises(
        UnsupportedOperation, match=r"is an autoencoder: it has no prior.*Use a VAE"
    ):
        model("autoencoder").prior()
