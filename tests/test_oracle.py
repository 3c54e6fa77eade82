"""The oracle itself: its evidence and its encoder by Bayes' rule."""

import pytest
import torch
from torch.distributions import Normal

from tests.oracle import instance

NAMES = ["easy", "medium", "hard"]


@pytest.mark.parametrize("name", NAMES)
def test_the_oracles_evidence_is_the_integral_over_its_latent(name):
    # Bayes' rule at any z: log p(x) = log p(x, z) - log p(z|x)
    oracle = instance(name)
    x = oracle.draw(5)
    loc, scale = oracle.exact_posterior(x)
    z = loc + 0.7 * scale
    by_bayes = oracle.vae.log_joint(x, z) - Normal(loc, scale).log_prob(z).sum(-1)
    torch.testing.assert_close(by_bayes, oracle.log_px(x), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_oracles_encoder_is_the_chosen_posterior(name):
    oracle = instance(name)
    x = oracle.draw(5)
    loc, scale = oracle.exact_posterior(x)
    q = oracle.vae.posterior(x)
    torch.testing.assert_close(q.loc, loc + oracle.posterior_shift * scale, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(q.scale[0], oracle.posterior_scale * scale, rtol=1e-10, atol=0)
