"""What the posterior modules read from an encoder, and their kinds."""

from typing import get_args

import pytest
import torch

from models.config import PosteriorConfig
from models.distributions.normals import FullNormal
from models.vae.posteriors import POSTERIORS
from tests.models.family_cases import family


def no_prior():
    pytest.fail("this posterior does not contain the prior")


def posterior_of(name, **fields):
    config = family(name, **fields)
    return POSTERIORS[config.posterior.kind](config.posterior, config)


def test_the_config_and_the_module_name_the_same_kinds():
    (union, _) = get_args(PosteriorConfig)
    assert {part.model_fields["kind"].default for part in get_args(union)} == POSTERIORS.keys()


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2), (2, 1, 3)])
def test_the_diagonal_normal_reads_locations_then_raw_scales(latent_shape):
    module = posterior_of("standard", latent_shape=latent_shape)
    params = torch.randn(5, *module.params_shape, dtype=torch.float64)
    d = module(params, no_prior)
    assert (d.batch_shape, d.event_shape) == ((5,), latent_shape)
    assert torch.equal(d.loc, params[:, 0])
    torch.testing.assert_close(d.scale, torch.log1p(params[:, 1].exp()), rtol=1e-14, atol=0)


def test_the_full_normal_reads_locations_a_diagonal_and_what_is_below_it():
    module = posterior_of("full", latent_shape=(3,))
    params = torch.randn(5, *module.params_shape, dtype=torch.float64)
    d = module(params, no_prior)
    assert isinstance(d, FullNormal)
    assert torch.equal(d.loc, params[:, 0])
    torch.testing.assert_close(d.diagonal, torch.log1p(params[:, 1].exp()), rtol=1e-14, atol=0)
    assert torch.equal(d.lower, params[:, 2:].tril(-1))


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2)])
def test_a_point_posterior_is_the_encoders_output(latent_shape):
    module = posterior_of("autoencoder", latent_shape=latent_shape)
    params = torch.randn(5, *module.params_shape)
    d = module(params, no_prior)
    assert (d.batch_shape, d.event_shape) == ((5,), latent_shape)
    assert torch.equal(d.loc, params[:, 0])
