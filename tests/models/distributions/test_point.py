"""A point in the place of a distribution."""

import pytest
import torch

from models.distributions.point import Point
from models.errors import UnsupportedOperation


def test_a_draw_is_the_point_whatever_the_noise():
    d = Point(torch.arange(6.0).reshape(2, 3), event_dim=1)
    assert (d.batch_shape, d.event_shape) == ((2,), (3,))
    assert d.noise_shape((5,)) == (5, 2, 3)
    drawn = d.from_noise(torch.randn(5, 2, 3))
    assert torch.equal(drawn, d.loc.expand(5, 2, 3))
    assert d.mean is d.loc


def test_a_density_is_refused():
    with pytest.raises(UnsupportedOperation, match=r"has no density and cannot score. Use a VAE"):
        Point(torch.zeros(2, 3), event_dim=1).log_prob(torch.zeros(2, 3))
