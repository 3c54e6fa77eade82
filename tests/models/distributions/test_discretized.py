"""Masses of integer levels against 60 digits and scipy's, in the tails too; float64."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from models.distributions.discretized import DiscretizedLogistic, DiscretizedNormal
from models.noise import NoiseStream
from tests.models.likelihood_cases import pixels

LEVELS = [2, 17, 256]
# Location and scale where level 0 is -1 and the highest is 1.
SHAPES = [
    (0.0, 0.3),
    (0.1, 2.0),
    (-1.0, 0.05),
    (3.0, 0.1),
    (0.05, 0.025),
    (-0.99, 0.05),
    (0.4, 500.0),
]


def logistic(loc, scale, levels, *, logits=None, coupling=None):
    """A distribution over one pixel from lists (mixture, channel)."""
    loc = torch.as_tensor(loc, dtype=torch.float64)[..., None, None]
    scale = torch.as_tensor(scale, dtype=torch.float64)[..., None, None]
    logits = torch.zeros(loc.shape[0]) if logits is None else torch.as_tensor(logits)
    if coupling is not None:
        coupling = torch.as_tensor(coupling, dtype=torch.float64)[..., None, None]
    return DiscretizedLogistic(
        logits=logits.double()[..., None, None],
        loc=loc,
        scale=scale,
        levels=levels,
        coupling=coupling,
    )


def all_observations(levels, channels):
    """Every image of one pixel, (levels ** channels, channels, 1, 1)."""
    values = list(itertools.product(range(levels), repeat=channels))
    return torch.tensor(values, dtype=torch.float64).reshape(-1, channels, 1, 1)


def edges_of(k, levels):
    with mpmath.workdps(60):
        step = mpmath.mpf(2) / (levels - 1)
        low = -mpmath.inf if k == 0 else -1 + (k - mpmath.mpf(1) / 2) * step
        high = mpmath.inf if k == levels - 1 else -1 + (k + mpmath.mpf(1) / 2) * step
    return low, high


def exact_logistic_mass(k, loc, scale, levels):
    """log(s(b) - s(a)) by plain subtraction in 1500 digits."""
    with mpmath.workdps(1500):
        a, b = ((edge - mpmath.mpf(loc)) / mpmath.mpf(scale) for edge in edges_of(k, levels))
        return float(mpmath.log(1 / (1 + mpmath.exp(-b)) - 1 / (1 + mpmath.exp(-a))))


def exact_normal_mass(k, loc, scale, levels):
    """log(Phi(b) - Phi(a)) by subtraction of upper or lower tails in 60 digits."""
    with mpmath.workdps(60):
        a, b = ((edge - mpmath.mpf(loc)) / mpmath.mpf(scale) for edge in edges_of(k, levels))
        if a > 0:
            a, b = -b, -a
        return float(mpmath.log(mpmath.ncdf(b) - mpmath.ncdf(a)))


def some_levels(levels):
    return sorted({0, 1, levels // 2, levels - 2, levels - 1})


CASES = [(loc, scale, levels) for loc, scale in SHAPES for levels in LEVELS]


@pytest.mark.parametrize(("loc", "scale", "levels"), CASES)
def test_discretized_logistic_is_the_exact_mass_between_the_edges(loc, scale, levels):
    d = logistic([[loc]], [[scale]], levels)
    ks = some_levels(levels)
    exact = [exact_logistic_mass(k, loc, scale, levels) for k in ks]
    np.testing.assert_allclose(d.log_prob(pixels(ks)), exact, rtol=1e-12, atol=1e-15)


def test_discretized_logistic_is_scipys_difference_of_distribution_functions():
    k = np.arange(1, 16)
    cdf = stats.logistic(0.1, 0.4).cdf
    edge = -1 + (np.arange(0, 17) - 0.5) * 2 / 16
    exact = np.log(cdf(edge[k] + 2 / 16) - cdf(edge[k]))
    np.testing.assert_allclose(
        logistic([[0.1]], [[0.4]], 17).log_prob(pixels(k)), exact, rtol=1e-12
    )


@pytest.mark.parametrize(("loc", "scale", "levels"), CASES)
def test_discretized_normal_is_the_exact_mass_between_the_edges(loc, scale, levels):
    d = DiscretizedNormal(pixels([loc]), pixels([scale]), levels=levels)
    ks = some_levels(levels)
    exact = [exact_normal_mass(k, loc, scale, levels) for k in ks]
    # A wide normal's mass is a difference of nearly equal numbers: 1e-16 over 1e-5.
    np.testing.assert_allclose(d.log_prob(pixels(ks)), exact, rtol=3e-12, atol=1e-14)


@pytest.mark.parametrize("levels", LEVELS)
def test_masses_forty_scales_away_are_exact(levels):
    scale = 0.02
    loc = -1 - 40 * scale
    ks = some_levels(levels)
    of_logistic = logistic([[loc]], [[scale]], levels).log_prob(pixels(ks))
    of_normal = DiscretizedNormal(pixels([loc]), pixels([scale]), levels=levels).log_prob(
        pixels(ks)
    )
    np.testing.assert_allclose(
        of_logistic,
        [exact_logistic_mass(k, loc, scale, levels) for k in ks],
        rtol=1e-12,
        atol=1e-16,
    )
    np.testing.assert_allclose(
        of_normal, [exact_normal_mass(k, loc, scale, levels) for k in ks], rtol=1e-12, atol=1e-16
    )


@pytest.mark.parametrize(("loc", "scale", "levels"), CASES)
def test_discretized_masses_sum_to_one_over_all_levels(loc, scale, levels):
    x = all_observations(levels, 1)
    of_normal = DiscretizedNormal(pixels([loc]), pixels([scale]), levels=levels)
    for d in (logistic([[loc]], [[scale]], levels), of_normal):
        assert d.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-11)


MIXTURE = dict(loc=[[-0.8], [0.1], [1.4]], scale=[[0.1], [0.3], [0.02]], logits=[0.3, -1.0, 0.5])
COLOUR = dict(
    loc=[[-0.5, 0.2, 0.1], [0.6, -0.3, 0.9]],
    scale=[[0.2, 0.3, 0.15], [0.4, 0.1, 0.3]],
    logits=[0.4, -0.2],
    coupling=[[0.5, -0.3, 0.8], [-0.9, 0.2, 0.1]],
)


@pytest.mark.parametrize("levels", LEVELS)
def test_a_mixture_is_the_weighted_sum_of_its_components_masses(levels):
    x = all_observations(levels, 1)
    weights = torch.tensor(MIXTURE["logits"]).double().softmax(0)
    parts = [
        logistic([loc], [scale], levels).log_prob(x).exp()
        for loc, scale in zip(MIXTURE["loc"], MIXTURE["scale"], strict=True)
    ]
    exact = sum(w * p for w, p in zip(weights, parts, strict=True))
    ours = logistic(levels=levels, **MIXTURE).log_prob(x).exp()
    torch.testing.assert_close(ours, exact, rtol=1e-12, atol=1e-300)
    assert ours.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("levels", [2, 5])
def test_colour_masses_sum_to_one_over_all_triples(levels):
    x = all_observations(levels, 3)
    assert len(x) == levels**3
    total = logistic(levels=levels, **COLOUR).log_prob(x).logsumexp(0)
    assert total.item() == pytest.approx(0, abs=1e-13)


def test_colour_channels_are_conditioned_in_turn_within_one_component():
    levels = 4
    x = all_observations(levels, 3)
    scaled = x.flatten(1) * 2 / (levels - 1) - 1
    exact = torch.zeros(len(x), dtype=torch.float64)
    weights = torch.tensor(COLOUR["logits"]).double().softmax(0)
    for w, loc, scale, (rg, rb, gb) in zip(
        weights, COLOUR["loc"], COLOUR["scale"], COLOUR["coupling"], strict=True
    ):
        for n, (r, g, b) in enumerate(scaled.tolist()):
            locs = (loc[0], loc[1] + rg * r, loc[2] + rb * r + gb * g)
            log_mass = sum(
                exact_logistic_mass_fast(int(x[n, c]), locs[c], scale[c], levels) for c in range(3)
            )
            assert b == scaled[n, 2]
            exact[n] += w * math.exp(log_mass)
    ours = logistic(levels=levels, **COLOUR).log_prob(x).exp()
    torch.testing.assert_close(ours, exact, rtol=1e-10, atol=0)


def exact_logistic_mass_fast(k, loc, scale, levels):
    low, high = (float(edge) for edge in edges_of(k, levels))
    d = stats.logistic(loc, scale)
    upper_side = low > loc
    return math.log(d.sf(low) - d.sf(high) if upper_side else d.cdf(high) - d.cdf(low))


@pytest.mark.parametrize(("loc", "scale", "levels"), CASES)
def test_the_mean_of_grey_levels_is_the_brute_force_expectation(loc, scale, levels):
    x = all_observations(levels, 1)
    of_normal = DiscretizedNormal(pixels([loc]), pixels([scale]), levels=levels)
    for d in (logistic([[loc]], [[scale]], levels), of_normal):
        brute = (d.log_prob(x).exp() * x.flatten()).sum()
        assert d.mean.item() == pytest.approx(brute.item(), rel=1e-10)


def test_the_mean_of_a_grey_mixture_is_the_brute_force_expectation():
    x = all_observations(17, 1)
    d = logistic(levels=17, **MIXTURE)
    assert d.mean.item() == pytest.approx(
        (d.log_prob(x).exp() * x.flatten()).sum().item(), rel=1e-12
    )


def test_the_mean_of_uncoupled_colour_is_the_brute_force_expectation():
    x = all_observations(5, 3)
    d = logistic(levels=5, **{**COLOUR, "coupling": [[0.0] * 3] * 2})
    brute = (d.log_prob(x).exp()[:, None] * x.flatten(1)).sum(0)
    torch.testing.assert_close(d.mean.flatten(), brute, rtol=1e-12, atol=0)


def test_the_mean_of_coupled_colour_is_exact_away_from_the_open_edges():
    x = all_observations(65, 3)
    narrow = dict(loc=[[0.1, 0.0, -0.1]], scale=[[0.03] * 3], coupling=[[0.5, -0.3, 0.2]])
    d = logistic(levels=65, **narrow)
    brute = (d.log_prob(x).exp()[:, None] * x.flatten(1)).sum(0)
    torch.testing.assert_close(d.mean.flatten(), brute, rtol=1e-6, atol=0)


@pytest.mark.parametrize("levels", LEVELS)
def test_discretized_draws_are_the_level_where_the_distribution_function_passes_the_noise(levels):
    u = NoiseStream(0, 0, "likelihood").uniform(500)
    loc, scale = 0.2, 0.5
    edge = -1 + (np.arange(1, levels) - 0.5) * 2 / (levels - 1)
    pairs = [
        (logistic([[loc]], [[scale]], levels), stats.logistic(loc, scale).cdf(edge)),
        (
            DiscretizedNormal(pixels([loc]), pixels([scale]), levels=levels),
            stats.norm(loc, scale).cdf(edge),
        ),
    ]
    for d, cdf in pairs:
        drawn = d.from_noise(pixels(u).reshape(500, 1, 1, 1, 1)).flatten()
        np.testing.assert_array_equal(drawn, np.searchsorted(cdf, u))


@pytest.mark.parametrize("kind", ["mixture", "colour"])
def test_draws_of_a_mixture_follow_its_masses(kind):
    count = 20_000
    levels, channels, parts = (5, 1, MIXTURE) if kind == "mixture" else (3, 3, COLOUR)
    d = logistic(levels=levels, **parts)
    noise = NoiseStream(0, 0, "likelihood").uniform(*d.noise_shape((count,)))
    drawn = d.from_noise(torch.from_numpy(noise))
    assert drawn.shape == (count, channels, 1, 1)
    x = all_observations(levels, channels)
    digits = levels ** torch.arange(channels - 1, -1, -1)
    seen = torch.bincount((drawn.flatten(1).long() * digits).sum(1), minlength=len(x))
    expected = count * d.log_prob(x).exp()
    likely = expected > 5
    rest = [seen[~likely].sum().item(), expected[~likely].sum().item()]
    found = [*seen[likely].tolist(), rest[0]]
    wanted = [*expected[likely].tolist(), rest[1]]
    if rest[1] < 1e-9:
        found, wanted = found[:-1], wanted[:-1]
    assert sum(found) == count
    assert stats.chisquare(found, wanted, sum_check=False).pvalue > 1e-3


def test_the_first_uniform_chooses_the_component():
    narrow = dict(loc=[[-1.0], [0.0], [1.0]], scale=[[1e-3]] * 3)
    d = logistic(levels=3, logits=[math.log(0.2), math.log(0.3), math.log(0.5)], **narrow)
    assert d.noise_shape() == (2, 1, 1)
    chosen = [
        d.from_noise(torch.tensor([u, 0.5]).double().reshape(2, 1, 1)).item()
        for u in (0.0, 0.199, 0.201, 0.499, 0.501, np.nextafter(1, 0))
    ]
    assert chosen == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("k", [0, 3, 16])
def test_the_gradient_of_a_discretized_normal_is_exact_however_narrow_it_is(scale, k):
    loc = pixels([0.1]).requires_grad_()
    DiscretizedNormal(loc, pixels([scale]), levels=17).log_prob(pixels([k])).sum().backward()
    with mpmath.workdps(60):
        low, high = ((e - mpmath.mpf(0.1)) / mpmath.mpf(scale) for e in edges_of(k, 17))
        # (phi(a) - phi(b)) / (Phi(b) - Phi(a)) / scale, in the tail where the mass lies
        a, b = (low, high) if high < 0 else (-high, -low)
        mass = (mpmath.erfc(-b / mpmath.sqrt(2)) - mpmath.erfc(-a / mpmath.sqrt(2))) / 2
        slope = (mpmath.npdf(a) - mpmath.npdf(b)) / mass / mpmath.mpf(scale)
        exact = float(slope if high < 0 else -slope)
    assert loc.grad.item() == pytest.approx(exact, rel=1e-9)
