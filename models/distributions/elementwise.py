"""Elementwise functions whose bits do not depend on an element's place in its tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def sigmoid(logits: Tensor) -> Tensor:
    """1 / (1 + exp(-logits)), with the same bits anywhere in a tensor; `positive` says why."""
    return F.logsigmoid(logits).exp()


def log_sigmoid(x: Tensor) -> Tensor:
    """-log(1 + exp(-x)) for any x, with the same bits anywhere in a tensor.

    Where no gradient is asked for it takes half of the time of torch's logsigmoid: exp and log1p
    are those of a vector library.
    """
    if x.requires_grad:
        return F.logsigmoid(x)
    return x.clamp_max(0).sub_(x.abs().neg_().exp_().log1p_())


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """Sum of coefficients[i] x^i, by Horner's rule."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def positive(raw: Tensor) -> Tensor:
    """softplus, bounded below by the dtype's smallest normal number.

    It is made of logsigmoid because torch's softplus, sigmoid and silu round an element otherwise
    in a tensor's last few places: a row would depend on its neighbours.
    """
    return -F.logsigmoid(-raw).clamp_max(-torch.finfo(raw.dtype).tiny)
