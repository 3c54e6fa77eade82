"""AdamW, the learning rate over the run, gradient clipping, and the average of the weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.vae.model import VAE
from training.recipes.loop import OptimizerConfig, ScheduleConfig
from training.recipes.recipe import Recipe

_FUSED = ("cpu", "cuda")
"""Devices whose fused AdamW skips a step, and scales its gradient, by numbers of the device."""
_STAGE_ENDS = [sum(3**j for j in range(i)) / 3280 for i in range(1, 8)]
"""Shares of the run at which a stage ends, but the last: the paper trains 3^i epochs at each of
eight rates, 3,280 in all."""


def make_optimizer(vae: VAE, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW that decays the matrices and kernels of the networks.

    Biases and a prior's own parameters (locations, scales, pseudo-inputs) are not decayed: zero is
    not a simpler value of them.
    """
    decayed = {
        id(layer.weight) for layer in vae.modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    }
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in vae.parameters() if id(p) in decayed],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in vae.parameters() if id(p) not in decayed], "weight_decay": 0.0},
    ]
    fused = next(vae.parameters()).device.type in _FUSED
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=fused
    )


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the state that a checkpoint holds, also one of a version that did not fuse."""
    fused = optimizer.param_groups[0]["fused"]
    groups = [{**group, "fused": fused, "foreach": None} for group in state["param_groups"]]
    optimizer.load_state_dict({**state, "param_groups": groups})


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, progress: float) -> None:
    """Set the learning rate that the schedule has at a share of the run."""
    rate = recipe.optimizer.learning_rate * schedule(progress, recipe.schedule)
    for group in optimizer.param_groups:
        group["lr"] = rate


def schedule(progress: float, config: ScheduleConfig) -> float:
    """The learning rate relative to its peak, at a share of the run in [0, 1].

    Source of the stages: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 5.
    """
    if progress < config.warmup:
        return max(progress / config.warmup, 1e-3)
    if config.kind == "constant" or config.warmup == 1:
        return 1.0
    share = (progress - config.warmup) / (1 - config.warmup)
    if config.kind == "stages":
        return math.pow(10, -sum(share >= end for end in _STAGE_ENDS) / 7)
    return 0.5 * (1 + math.cos(math.pi * share))


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Norm of the whole gradient, as float32: the sum over all parameters."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).float()


def step_if_finite(optimizer: torch.optim.Optimizer, norm: Tensor, largest_norm: float) -> None:
    """Take the optimizer's step by its gradient, scaled down to a norm; none if it is not finite.

    The fused kernels read both from the device, as torch's own GradScaler tells them.

    Args:
        optimizer: The optimizer, with the gradient.
        norm: The gradient's norm.
        largest_norm: A gradient of a larger norm is scaled down to it.
    """
    scale = (norm / largest_norm).clamp_min(1.0)
    if optimizer.param_groups[0]["fused"]:
        told: Any = optimizer
        told.grad_scale, told.found_inf = scale, norm.isfinite().logical_not().float()
        optimizer.step()
    elif norm.isfinite():
        for group in optimizer.param_groups:
            torch._foreach_div_([p.grad for p in group["params"] if p.grad is not None], scale)
        optimizer.step()


def update_average(averaged: Sequence[Tensor], trained: Sequence[Tensor], *, decay: float) -> None:
    """average <- decay average + (1 - decay) trained, also after a step that changed nothing."""
    update = get_ema_multi_avg_fn(decay)
    update(averaged, trained, 0)
