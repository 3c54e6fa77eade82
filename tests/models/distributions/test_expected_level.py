"""The expected level against the sum over every edge in float64, at and beyond all extremes."""

import itertools

import pytest
import torch

from models.distributions.expected_level import expected_level

LEVELS = [2, 3, 9, 10, 17, 64, 256, 1024]
TRUNCATION = 1e-8
INSIDE = torch.linspace(-1.2, 1.2, 401, dtype=torch.float64)
OUTSIDE = torch.tensor([-1e6, -300.0, -3.0, 3.0, 300.0, 1e6], dtype=torch.float64)
# In levels: from a step function, over the switch to the integral at 2, to a straight line.
SCALES = [1e-5, 0.01, 0.1, 0.4, 0.9, 1.3, 1.7, 1.999999, 2.0, 2.000001, 2.5, 5.0, 40.0, 1e3, 1e7]


def brute_force(loc, scale, levels):
    """Sum over all edges, float64."""
    edges = (2 * torch.arange(1, levels, dtype=torch.float64) - 1) / (levels - 1) - 1
    return torch.sigmoid((loc.double()[..., None] - edges) / scale.double()[..., None]).sum(-1)


def case(levels, scale, dtype=torch.float64):
    """Locations inside, about both ends and far outside, with a scale given in levels."""
    step = 2 / (levels - 1)
    ends = torch.linspace(-30, 30, 121, dtype=torch.float64) * step
    loc = torch.cat([INSIDE, ends - 1, ends + 1, OUTSIDE]).sort().values.to(dtype)
    return loc, torch.full_like(loc, scale * step)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("levels", LEVELS)
def test_it_is_the_sum_over_every_edge(levels, scale):
    loc, t = case(levels, scale)
    ours = expected_level(loc, t, levels)
    # An edge is where it is only up to rounding, which a narrow scale stretches.
    rounding = 1e-15 * levels * (10 + 1 / scale)
    worst = (ours - brute_force(loc, t, levels)).abs().max().item()
    assert worst < TRUNCATION + rounding
    assert bool(((ours >= 0) & (ours <= levels - 1)).all())
    assert bool((ours.diff() >= -rounding).all())


@pytest.mark.parametrize("scale", [s for s in SCALES if s >= 0.1] + [1e12])
@pytest.mark.parametrize("levels", LEVELS)
def test_in_float32_it_is_off_by_a_few_roundings(levels, scale):
    loc, t = case(levels, scale, torch.float32)
    worst = (expected_level(loc, t, levels) - brute_force(loc, t, levels)).abs().max().item()
    assert worst < 20 * levels * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", LEVELS)
def test_a_scale_near_zero_makes_a_step_at_each_edge(levels, dtype):
    k = torch.arange(levels, dtype=dtype)
    inner = torch.cat([k - 0.25, k + 0.25]) * (2 / (levels - 1)) - 1
    tiny = torch.full_like(inner, torch.finfo(dtype).tiny)
    assert torch.equal(expected_level(inner, tiny, levels), torch.cat([k, k]))
    far = torch.tensor([-1e30, 1e30], dtype=dtype)
    for scale in (tiny[:2], torch.ones(2, dtype=dtype)):
        assert expected_level(far, scale, levels).tolist() == [0, levels - 1]


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("scale", [0.4, 1.9, 2.1, 300.0])
def test_its_gradient_is_the_difference_quotient(levels, scale):
    step = 2 / (levels - 1)
    loc = (torch.tensor([-8.0, -0.3, 0.2, 0.45, levels - 1.3, levels + 9]).double()) * step - 1
    t = torch.full_like(loc, scale * step)
    loc.requires_grad_(), t.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda m, s: expected_level(m, s, levels), (loc, t), eps=1e-6, atol=1e-5
    )


def test_its_bits_do_not_depend_on_the_place_in_the_tensor():
    generator = torch.Generator().manual_seed(0)

    def draw(rows):
        loc = torch.randn(rows, 3, 5, generator=generator)
        return loc, (torch.randn(rows, 3, 5, generator=generator) - 4).exp()

    loc, scale = draw(1)
    alone = expected_level(loc, scale, 256)
    for rows in range(1, 60):
        others, scales = draw(rows)
        for at in {0, rows // 2, rows - 1}:
            m, t = others.clone(), scales.clone()
            m[at], t[at] = loc[0], scale[0]
            assert torch.equal(expected_level(m, t, 256)[at], alone[0])


def test_what_is_not_a_number_stays_so():
    nan, one = torch.tensor([float("nan")]), torch.ones(1)
    for loc, scale in itertools.permutations([nan, one]):
        assert bool(expected_level(loc, scale, 256).isnan().all())
