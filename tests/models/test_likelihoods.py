"""Densities and masses against independent implementations, in the tails too; float64."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
    VAEConfig,
)
from models.errors import OutOfSupport
from models.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    DiscretizedNormal,
)
from models.noise import NoiseStream
from models.posteriors import DiagonalNormal

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
COLOUR_SHAPE = (3, 2, 2)
CONFIGS = [
    BernoulliConfig(),
    ContinuousBernoulliConfig(),
    DiscretizedLogisticConfig(levels=17),
    DiscretizedLogisticConfig(levels=17, num_mixtures=3),
    DiscretizedNormalConfig(levels=17),
    NormalConfig(scale="fixed", fixed_scale=0.3),
    NormalConfig(scale="per_image"),
    NormalConfig(scale="per_pixel"),
]
BOTH_SHAPES = [(1, 3, 2), COLOUR_SHAPE]


def name_of(config):
    extra = getattr(config, "scale", getattr(config, "num_mixtures", ""))
    return f"{config.kind}-{extra}".rstrip("-")


def pixels(values):
    """Numbers as a batch of images of one grey pixel, float64."""
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


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


def make(config, shape, *, dtype=torch.float64, batch=(4,), seed=0):
    """The module, parameters that need gradients, and the distribution made of them."""
    module = LIKELIHOODS[config.kind](config, shape).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    params = torch.randn(*batch, module.num_params, *shape[1:], generator=generator).to(dtype)
    params.requires_grad_()
    return module, params, module(params)


def observations(module, shape, count, *, seed=1):
    """Observations in the support, both edges among them."""
    generator = torch.Generator().manual_seed(seed)
    if not module.is_mass:
        return torch.rand(count, *shape, generator=generator, dtype=torch.float64)
    top = int(module.unit_scale)
    x = torch.randint(0, top + 1, (count, *shape), generator=generator).double()
    x[0], x[-1] = 0, top
    return x


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


# Discretized ones


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


# The modules


def test_every_kind_of_the_config_has_its_module():
    union = VAEConfig.model_fields["likelihood"].annotation
    kinds = {part.model_fields["kind"].default for part in union.__args__}
    assert kinds == LIKELIHOODS.keys()


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("batch", [(), (4,), (2, 4)], ids=str)
def test_batch_and_event_shapes(config, shape, batch):
    module, _, d = make(config, shape, batch=batch)
    x = observations(module, shape, 4)
    assert d.batch_shape == batch
    assert d.event_shape == shape
    assert d.mean.shape == (*batch, *shape)
    assert d.log_prob(x if batch else x[0]).shape == batch
    assert d.from_noise(torch.full(d.noise_shape((5,)), 0.5).double()).shape == (5, *batch, *shape)
    assert d.log_prob(x).shape == (batch or (4,))


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_an_images_log_prob_does_not_see_the_others(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    alone = torch.cat([module(params[i : i + 1]).log_prob(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(d.log_prob(x), alone, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_a_gradient_reaches_every_parameter_and_is_the_difference_quotient(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    d.log_prob(x).sum().backward()
    assert bool(params.grad.isfinite().all())
    # A decoder's channel counts when any pixel of any image moves with it.
    moved = (params.grad != 0).sum((0, 2, 3))
    if getattr(config, "num_mixtures", 0) == 1:
        moved = torch.cat([moved[1:], torch.ones(1)])  # a single component has weight one
    assert bool((moved > 0).all())
    torch.manual_seed(0)  # of the fast mode's direction
    assert torch.autograd.gradcheck(lambda p: module(p).log_prob(x), params, fast_mode=True)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@pytest.mark.parametrize("size", [20.0, 30.0, 100.0])
def test_gradients_stay_finite_when_the_decoder_is_far_off(config, size):
    module = LIKELIHOODS[config.kind](config, (1, 3, 2))
    for sign in (-1, 1):
        params = torch.full((2, module.num_params, 3, 2), sign * size, dtype=torch.float64)
        params.requires_grad_()
        value = module(params).log_prob(observations(module, (1, 3, 2), 2)).sum()
        value.backward()
        assert bool(value.isfinite())
        assert bool(params.grad.isfinite().all())


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


@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_float32_is_close_to_float64(config, shape):
    module, params, d = make(config, shape)
    x = observations(module, shape, 4)
    single = module.float()(params.detach().float())
    assert single.mean.dtype == single.log_prob(x.float()).dtype == torch.float32
    torch.testing.assert_close(
        single.log_prob(x.float()).double(), d.log_prob(x), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(single.mean.double(), d.mean, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", BOTH_SHAPES, ids=str)
@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_extreme_noise_gives_draws_inside_the_support(config, shape, dtype):
    module, _, d = make(config, shape, dtype=dtype)
    one, zero = torch.ones((), dtype=dtype), torch.zeros((), dtype=dtype)
    extremes = (zero, torch.nextafter(one, zero))
    if d.noise_kind == "normal":
        extremes = (torch.full((), -8.0, dtype=dtype), torch.full((), 8.0, dtype=dtype))
    for value in extremes:
        drawn = d.from_noise(value.expand(d.noise_shape((2,))))
        assert drawn.dtype == dtype
        assert bool(drawn.isfinite().all())
        module.check_support(drawn.flatten(0, 1))
        assert bool(d.log_prob(drawn).isfinite().all())


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_sample_draws_in_the_support(config):
    module, _, d = make(config, (1, 3, 2))
    torch.manual_seed(0)
    drawn = d.sample((50,))
    assert drawn.shape == (50, 4, 1, 3, 2)
    module.check_support(drawn.flatten(0, 1))


def test_a_distribution_checks_by_its_own_support_too():
    assert bool(logistic([[0.0]], [[1.0]], 5).support.check(pixels([0, 4])).all())
    d = DiscretizedNormal(pixels([0.0]), pixels([1.0]), levels=5)
    assert d.support.check(pixels([0, 4, 5, -1, 0.5])).flatten().tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]


# Support

NOT_FINITE = [math.nan, math.inf, -math.inf]
REFUSED = [
    *[(BernoulliConfig(), v) for v in [*NOT_FINITE, 0.5, -1.0, 2.0, 1 + 1e-12]],
    *[(ContinuousBernoulliConfig(), v) for v in [*NOT_FINITE, -1e-12, 1 + 1e-12]],
    *[(DiscretizedLogisticConfig(levels=17), v) for v in [*NOT_FINITE, -1.0, 0.5, 17.0]],
    *[(DiscretizedNormalConfig(levels=2), v) for v in [*NOT_FINITE, -1.0, 0.5, 2.0]],
    *[(NormalConfig(), v) for v in NOT_FINITE],
]


@pytest.mark.parametrize(("config", "value"), REFUSED)
def test_a_value_outside_the_support_is_refused_by_item_and_value(config, value):
    module = LIKELIHOODS[config.kind](config, (1, 2, 2))
    x = torch.zeros(5, 1, 2, 2, dtype=torch.float64)
    x[1, 0, 1, 0] = value
    x[4] = value
    with pytest.raises(OutOfSupport) as caught:
        module.check_support(x)
    assert caught.value.items == tuple((i, f"received the value {value:g}") for i in (1, 4))
    assert module.support_words in str(caught.value)
    assert f"2 of 5 items do not (item 1: received the value {value:g})" in str(caught.value)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_edges_of_the_support_are_inside(config):
    module = LIKELIHOODS[config.kind](config, (1, 2, 2))
    x = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    x[1] = module.unit_scale
    module.check_support(x)


@pytest.mark.parametrize("levels", LEVELS)
def test_levels_set_the_support_and_the_unit_scale(levels):
    for config in (
        DiscretizedLogisticConfig(levels=levels),
        DiscretizedNormalConfig(levels=levels),
    ):
        module = LIKELIHOODS[config.kind](config, (1, 1, 1))
        assert module.unit_scale == levels - 1
        module.check_support(all_observations(levels, 1))
        with pytest.raises(OutOfSupport, match=rf"the integers 0\.\.{levels - 1}"):
            module.check_support(pixels([levels]))


def test_masses_and_densities_say_which_they_are():
    masses = {name for name, module in LIKELIHOODS.items() if module.is_mass}
    assert masses == {"bernoulli", "discretized_logistic", "discretized_normal"}


# Normal


@pytest.mark.parametrize("scale", ["fixed", "per_image", "per_pixel"])
def test_normal_is_torchs(scale):
    module, _, d = make(NormalConfig(scale=scale, fixed_scale=0.7), COLOUR_SHAPE)
    x = observations(module, COLOUR_SHAPE, 4)
    theirs = torch.distributions.Normal(d.loc, d.scale).log_prob(x).sum((-3, -2, -1))
    assert isinstance(d, DiagonalNormal)
    torch.testing.assert_close(d.log_prob(x), theirs, rtol=1e-13, atol=1e-13)


def test_the_per_image_scale_is_one_number_per_image():
    _, _, d = make(NormalConfig(scale="per_image"), COLOUR_SHAPE)
    per_image = d.scale.flatten(1)
    assert bool((per_image == per_image[:, :1]).all())
    assert len(set(per_image[:, 0].tolist())) == 4


def test_the_per_pixel_scale_is_a_number_per_element():
    _, _, d = make(NormalConfig(scale="per_pixel"), COLOUR_SHAPE)
    assert len(set(d.scale.flatten().tolist())) == d.scale.numel()


@pytest.mark.parametrize("scale", ["fixed", "per_image", "per_pixel"])
@pytest.mark.parametrize("start", [1e-6, 0.05, 1.0, 30.0, 1e4])
def test_the_scale_starts_at_the_fixed_scale(scale, start):
    config = NormalConfig(scale=scale, fixed_scale=start)
    module = LIKELIHOODS["normal"](config, COLOUR_SHAPE)
    d = module(torch.zeros(2, module.num_params, 2, 2, dtype=torch.float64))
    torch.testing.assert_close(d.scale, torch.full_like(d.scale, start), rtol=1e-9, atol=0)


def test_normal_integrates_to_one():
    d = DiagonalNormal(pixels([0.2]), pixels([0.7]), event_dim=3)
    total, _ = integrate.quad(lambda x: d.log_prob(pixels([x])).exp().item(), -12, 12)
    assert total == pytest.approx(1, abs=1e-9)
