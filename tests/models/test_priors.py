"""The standard normal prior."""

import pytest
import torch
from torch.distributions import Independent, Normal

from models.config import StandardNormalConfig, VAEConfig
from models.priors import PRIORS, StandardNormalPrior


def test_the_config_and_the_module_name_the_same_kinds():
    assert VAEConfig.model_fields["prior"].annotation is StandardNormalConfig
    assert PRIORS.keys() == {StandardNormalConfig().kind}


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2), (2, 1, 3)])
def test_it_is_torchs_standard_normal_with_an_empty_batch_shape(latent_shape):
    prior = StandardNormalPrior(StandardNormalConfig(), latent_shape).double()()
    zero = torch.zeros(latent_shape, dtype=torch.float64)
    theirs = Independent(Normal(zero, zero + 1), len(latent_shape))
    z = torch.linspace(-30, 30, 4 * zero.numel(), dtype=torch.float64).reshape(2, 2, *latent_shape)
    assert (prior.batch_shape, prior.event_shape) == ((), latent_shape)
    torch.testing.assert_close(prior.log_prob(z), theirs.log_prob(z), rtol=1e-13, atol=1e-12)


def test_its_draws_are_the_noise_itself():
    prior = StandardNormalPrior(StandardNormalConfig(), (3,))()
    assert prior.noise_shape((4,)) == (4, 3)
    noise = torch.linspace(-3, 3, 12).reshape(4, 3)
    assert torch.equal(prior.from_noise(noise), noise)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_follows_the_models_dtype_and_stores_nothing(dtype):
    module = StandardNormalPrior(StandardNormalConfig(), (3,)).to(dtype)
    assert module().loc.dtype == module().scale.dtype == dtype
    assert module.state_dict() == {}
    assert list(module.parameters()) == []
