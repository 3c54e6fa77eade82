"""Bernoulli masses and densities against 60 digits and torch's, in the tails too; float64."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from models.distributions.bernoulli import Bernoulli, ContinuousBernoulli
from models.noise import NoiseStream
from tests.models.likelihood_cases import pixels

LOGITS = [
    0.0,
    1e-9,
    -1e-9,
    1e-4,
    0.3,
    -0.5,
    0.5,
    1.0,
    -3.0,
    12.0,
    -12.0,
    50.0,
    -50.0,
    500.0,
    -500.0,
]


# Bernoulli


@pytest.mark.parametrize("logit", LOGITS)
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_bernoulli_is_exact_to_the_rounding_of_its_logit(logit, x):
    ours = Bernoulli(pixels([logit])).log_prob(pixels([x])).item()
    with mpmath.workdps(300):
        exact = float(-mpmath.log1p(mpmath.exp((1 - 2 * x) * mpmath.mpf(logit))))
    rounding = 2**-52 * abs(logit) if x == 1 else 0
    assert ours == pytest.approx(exact, rel=1e-14, abs=rounding)


def test_bernoulli_is_torchs():
    logits, x = pixels([0.3, -1.0, 2.0, 5.0]), pixels([0, 1, 1, 0])
    theirs = torch.distributions.Bernoulli(logits=logits).log_prob(x).flatten()
    torch.testing.assert_close(Bernoulli(logits).log_prob(x), theirs, rtol=1e-13, atol=0)


def test_bernoulli_is_scipys_mass():
    p = Bernoulli(pixels([0.7])).mean.item()
    ours = Bernoulli(pixels([0.7, 0.7])).log_prob(pixels([0, 1]))
    np.testing.assert_allclose(ours, stats.bernoulli(p).logpmf([0, 1]), rtol=1e-13)


@pytest.mark.parametrize("logit", LOGITS)
def test_bernoulli_masses_sum_to_one(logit):
    total = Bernoulli(pixels([logit, logit])).log_prob(pixels([0, 1])).logsumexp(0)
    assert total.item() == pytest.approx(0, abs=1e-15)


def test_bernoulli_draws_1_exactly_below_its_probability():
    p = 0.25
    d = Bernoulli(pixels([math.log(p / (1 - p))] * 4))
    u = pixels([0.0, np.nextafter(0.25, 0) - 1e-12, 0.25 + 1e-12, np.nextafter(1, 0)])
    assert d.from_noise(u).flatten().tolist() == [1, 1, 0, 0]


# ContinuousBernoulli


def exact_continuous_bernoulli(logit, x):
    """log of a e^(a x) / (e^a - 1), a the logit, from 60 digits."""
    with mpmath.workdps(60):
        a, x = mpmath.mpf(logit), mpmath.mpf(x)
        return float(a * x + (mpmath.log(a / mpmath.expm1(a)) if a else 0))


def exact_continuous_mean(logit):
    with mpmath.workdps(60):
        a = mpmath.mpf(logit)
        return float(mpmath.mpf(1) / 2 + mpmath.coth(a / 2) / 2 - 1 / a) if a else 0.5


NEAR_SERIES = [0.4999999, 0.5, 0.5000001, -0.4999999, -0.5000001, 0.01, 1e-12]


@pytest.mark.parametrize("logit", LOGITS + NEAR_SERIES)
@pytest.mark.parametrize("x", [0.0, 1e-3, 0.5, 0.9, 1.0])
def test_continuous_bernoulli_is_exact_in_the_centre_and_in_the_tails(logit, x):
    ours = ContinuousBernoulli(pixels([logit])).log_prob(pixels([x])).item()
    assert ours == pytest.approx(exact_continuous_bernoulli(logit, x), rel=1e-14, abs=2e-15)


def test_continuous_bernoulli_is_torchs_where_torchs_is_right():
    logits, x = pixels([0.3, -1.0, 2.0, 5.0]), pixels([0.1, 0.0, 1.0, 0.6])
    theirs = torch.distributions.ContinuousBernoulli(logits=logits).log_prob(x)
    torch.testing.assert_close(
        ContinuousBernoulli(logits).log_prob(x), theirs.flatten(), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one(logit):
    # The mass lies within 40/|l| of one end.
    edges = sorted({0.0, 1.0, *(min(1.0, c / max(abs(logit), 1)) for c in (1, 5, 40))})
    sign = 1 if logit < 0 else -1

    def density(t):
        x = t if sign > 0 else 1 - t
        return ContinuousBernoulli(pixels([logit])).log_prob(pixels([x])).exp().item()

    total = sum(integrate.quad(density, a, b)[0] for a, b in itertools.pairwise(edges))
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("logit", LOGITS + NEAR_SERIES)
def test_continuous_bernoulli_mean_is_exact(logit):
    ours = ContinuousBernoulli(pixels([logit])).mean.item()
    assert ours == pytest.approx(exact_continuous_mean(logit), rel=3e-15)


@pytest.mark.parametrize("logit", [*LOGITS, *NEAR_SERIES])
def test_continuous_bernoulli_draws_by_its_inverse_distribution_function(logit):
    u = [0.0, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6]
    drawn = ContinuousBernoulli(pixels([logit] * len(u))).from_noise(pixels(u)).flatten()
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    with mpmath.workdps(300):
        a = mpmath.mpf(logit)
        exact = [
            float(mpmath.log1p(v * mpmath.expm1(a)) / a if a else v) for v in map(mpmath.mpf, u)
        ]
    # 1 - u has the resolution 2^-53, which the quantile at logit 12 stretches by e^12 / 12.
    np.testing.assert_allclose(drawn, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("logit", [0.5, -0.5, 1e-6, 3.0])
def test_continuous_bernoulli_gradient_is_the_difference_quotient_at_the_series_switch(logit):
    for value in (0.0, 0.3):
        at = pixels([logit]).requires_grad_()
        ContinuousBernoulli(at).log_prob(pixels([value])).sum().backward()
        # d log p / d l = x - E[x]
        assert at.grad.item() == pytest.approx(value - exact_continuous_mean(logit), rel=1e-12)
    torch.autograd.gradcheck(lambda v: ContinuousBernoulli(v).log_prob(pixels([0.3])), at)
    torch.autograd.gradcheck(lambda v: ContinuousBernoulli(v).mean, at, eps=1e-7, atol=1e-6)


def test_continuous_bernoulli_gradient_at_logit_0_is_exact_and_finite():
    at = pixels([0.0]).requires_grad_()
    ContinuousBernoulli(at).log_prob(pixels([0.9])).sum().backward()
    assert at.grad.item() == pytest.approx(0.4, rel=1e-15)


def test_each_kind_of_draw_follows_its_distribution():
    count = 20_000
    u = pixels(NoiseStream(3, 0, "likelihood").uniform(count))
    continuous = ContinuousBernoulli(pixels([2.5])).from_noise(u).flatten().numpy()

    def cdf(x):
        return np.expm1(2.5 * x) / np.expm1(2.5)

    assert len(continuous) == count
    assert stats.kstest(continuous, cdf).pvalue > 1e-3
    ones = Bernoulli(pixels([1.0])).from_noise(u).sum().item()
    assert stats.binomtest(int(ones), count, 1 / (1 + math.exp(-1))).pvalue > 1e-3
