"""A point in the place of a distribution."""

import pytest
import torch

from models.distributions.point import Point
from models.errors import UnsupportedOperation
from models.vae.posteriors import PointPosterior
from tests.models.family_cases import family


def test_a_draw_is_the_point_whatever_the_noise():
    d = Point(torch.arange(6.0).reshape(2, 3), event_dim=1)
    assert (d.batch_shape, d.event_shape) == ((2,), (3,))
    assert d.noise_shape((5,)) == (5, 2, 3)
    drawn = d.from_noise(torch.randn(5, 2, 3))
    assert torch.equal(drawn, d.loc.expand(5, 2, 3))
    assert d.mean is d.loc


def test_a_density_is_refused():
    with pytest.raises(UnsupportedOperation, match=r"A score needs a density.*Train a VAE"):
        Point(torch.zeros(2, 3), event_dim=1).log_prob(torch.zeros(2, 3))


@pytest.mark.parametrize("latent_shape", [(3,), (2, 2)])
def test_the_posterior_is_the_encoders_output(latent_shape):
    module = PointPosterior(family("autoencoder", latent_shape=latent_shape))
    params = torch.randn(5, *module.params_shape)
    d = module(params, None)
    assert (d.batch_shape, d.event_shape) == ((5,), latent_shape)
    assert torch.equal(d.loc, params[:, 0])
