"""Elementwise functions: exact at extremes, and the same bits anywhere in a tensor."""

import pytest
import torch

from models.distributions.elementwise import log_sigmoid, polynomial, positive, sigmoid


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scale_is_positive_and_finite_for_any_finite_network_output(dtype):
    raw = torch.tensor([-1e30, -1e4, -800, -90, 0, 90, 1e4, 1e30], dtype=dtype)
    scale = positive(raw)
    assert bool((scale > 0).all())
    assert bool(scale.isfinite().all())
    assert bool(scale.log().isfinite().all())
    assert torch.equal(scale[5:], raw[5:])


@pytest.mark.parametrize("function", [positive, sigmoid, log_sigmoid])
def test_an_elements_bits_do_not_depend_on_its_place(function):
    raw = torch.linspace(-12, 12, 37)
    whole = function(raw)
    assert torch.equal(whole, torch.cat([function(one) for one in raw.split(1)]))
    assert torch.equal(whole[5:], function(raw[5:]))


def test_sigmoid_is_torchs():
    logits = torch.linspace(-700, 700, 101, dtype=torch.float64)
    torch.testing.assert_close(sigmoid(logits), torch.sigmoid(logits), rtol=1e-13, atol=0)


@pytest.mark.parametrize("with_gradient", [False, True])
def test_log_sigmoid_is_exact_with_its_gradient_and_without(with_gradient):
    x = torch.tensor([-800.0, -30.0, -1.0, 0.0, 1e-9, 2.0, 800.0], dtype=torch.float64)
    found = log_sigmoid(x.requires_grad_(with_gradient))
    assert found.requires_grad == with_gradient
    wanted = -torch.logaddexp(-x.detach(), torch.zeros(()))
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-14, atol=0)


def test_a_polynomial_is_the_sum_of_its_powers():
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(polynomial(x, (1.0, -2.0, 0.5)), 1 - 2 * x + 0.5 * x**2)
