"""The categorical distribution over unit vectors against torch's; float64."""

import pytest
import torch
from torch.distributions import OneHotCategorical

from models.distributions.batch_noise import BatchNoise
from models.distributions.one_hot import OneHot
from tests.models.distribution_cases import COUNT, one_hot


def test_log_prob_and_mean_are_torchs():
    d = one_hot(3)
    theirs = OneHotCategorical(logits=d.log_probs)
    z = torch.eye(COUNT, dtype=torch.float64).unsqueeze(1).expand(COUNT, 3, COUNT)
    assert (d.batch_shape, d.event_shape) == ((3,), (COUNT,))
    torch.testing.assert_close(d.log_prob(z), theirs.log_prob(z), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(d.mean, theirs.mean, rtol=1e-13, atol=0)
    assert torch.equal(d.mode, theirs.mode)
    torch.testing.assert_close(d.log_prob(z).exp().sum(0), torch.ones(3).double())


def test_draws_have_the_frequencies_of_the_probabilities():
    d = one_hot(3)
    noise = BatchNoise(0, 3, "prior").draw_for(d, 20_000, dtype=torch.float64)
    assert d.noise_shape((20_000,)) == noise.shape == (20_000, 3, 1)
    z = d.from_noise(noise)
    assert torch.equal(z.sum(-1), torch.ones(20_000, 3).double())
    error = (d.mean * (1 - d.mean) / 20_000).sqrt()
    assert bool(((z.mean(0) - d.mean).abs() < 4 * error).all())
    assert torch.equal(d.from_noise(noise, temperature=0.0), z)  # it is ignored


@pytest.mark.parametrize("largest", [0.0, 1 - 2**-24])
def test_an_impossible_component_is_never_drawn(largest):
    d = OneHot(torch.tensor([-1e5, 0.0, 1.0, -1e5]))
    z = d.from_noise(torch.tensor([[largest]]))
    assert int(z.argmax()) in (1, 2)
