"""Priors: their densities, their draws, and what they store."""

from typing import get_args

import pytest
import torch
from torch.distributions import Independent, Normal

from models.config import PriorConfig
from models.priors import PRIORS
from tests.models.family_cases import family


def standard(*latent_shape):
    return PRIORS["standard_normal"](family("standard", latent_shape=latent_shape))


def test_the_config_and_the_module_name_the_same_kinds():
    (union, _) = get_args(PriorConfig)
    assert {part.model_fields["kind"].default for part in get_args(union)} == PRIORS.keys()


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2), (2, 1, 3)])
def test_it_is_torchs_standard_normal_with_an_empty_batch_shape(latent_shape):
    prior = standard(*latent_shape).double()(None, None)
    zero = torch.zeros(latent_shape, dtype=torch.float64)
    theirs = Independent(Normal(zero, zero + 1), len(latent_shape))
    z = torch.linspace(-30, 30, 4 * zero.numel(), dtype=torch.float64).reshape(2, 2, *latent_shape)
    assert (prior.batch_shape, prior.event_shape) == ((), latent_shape)
    torch.testing.assert_close(prior.log_prob(z), theirs.log_prob(z), rtol=1e-13, atol=1e-12)


def test_its_draws_are_the_noise_itself():
    prior = standard(3)(None, None)
    assert prior.noise_shape((4,)) == (4, 3)
    noise = torch.linspace(-3, 3, 12).reshape(4, 3)
    assert torch.equal(prior.from_noise(noise), noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_follows_the_models_dtype_and_stores_nothing(dtype):
    module = standard(3).to(dtype)
    prior = module(None, None)
    assert prior.loc.dtype == prior.scale.dtype == dtype
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
