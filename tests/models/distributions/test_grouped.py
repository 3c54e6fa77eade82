"""Groups of normals, each given the one drawn before it, against hand-written joints; float64."""

import torch
from torch.distributions import Normal

from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal

SIZES = (2, 1, 3)
ORDER = (2, 1, 0)


def grouped(weight, *, batch=()):
    """Each group's locations are the weighted sum of the group before it, its scale is fixed."""

    def conditional(i, given, stop):
        w = weight.detach() if stop else weight
        base = w.new_zeros(*batch, SIZES[i]) + w * (i + 1)
        loc = base if given is None else base + w * given.sum(-1, keepdim=True)
        return DiagonalNormal(loc, w.new_full((), 0.5 + i) + 0 * w, event_dim=1)

    return GroupedNormal(conditional, sizes=SIZES, order=ORDER, batch_shape=torch.Size(batch))


def weight_of(value=0.7):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def test_the_density_is_the_product_of_the_groups_each_given_the_one_before():
    weight = weight_of()
    z = torch.linspace(-2, 2, 24, dtype=torch.float64).reshape(4, 6)
    first, middle, last = z.split(SIZES, -1)
    by_hand = [
        Normal(weight + weight * middle.sum(-1, keepdim=True), 0.5).log_prob(first).sum(-1),
        Normal(2 * weight + weight * last.sum(-1, keepdim=True), 1.5).log_prob(middle).sum(-1),
        Normal(3 * weight, 2.5).log_prob(last).sum(-1),
    ]
    d = grouped(weight)
    torch.testing.assert_close(d.log_prob_per_group(z), torch.stack(by_hand, -1))
    torch.testing.assert_close(d.log_prob(z), sum(by_hand))


def test_a_draw_is_ancestral_and_its_temperature_scales_every_group():
    weight = weight_of()
    noise = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(4, 6)
    for temperature in (1.0, 0.25):
        parts = (temperature * noise).split(SIZES, -1)
        last = 3 * weight + 2.5 * parts[2]
        middle = 2 * weight + weight * last.sum(-1, keepdim=True) + 1.5 * parts[1]
        first = weight + weight * middle.sum(-1, keepdim=True) + 0.5 * parts[0]
        drawn = grouped(weight).from_noise(noise, temperature=temperature)
        torch.testing.assert_close(drawn, torch.cat([first, middle, last], -1))


def test_the_location_follows_the_means_and_the_scales_are_given_them():
    d = grouped(weight_of(), batch=(4,))
    assert torch.equal(d.loc, d.from_noise(torch.zeros(4, 6, dtype=torch.float64)))
    assert torch.equal(d.mean, d.loc)
    assert d.scale.tolist() == [[0.5, 0.5, 1.5, 2.5, 2.5, 2.5]] * 4


def test_a_detached_one_has_the_gradient_of_z_alone():
    weight = weight_of()
    d = grouped(weight)
    z = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    d.log_prob(z).backward()
    gradient, z.grad, weight.grad = z.grad, None, None
    d.detached().log_prob(z).backward()
    assert weight.grad is None
    torch.testing.assert_close(z.grad, gradient)
