"""AdamW, the learning rate over the run, gradient clipping, and the average of the weights."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.vae.model import VAE
from training.recipes.loop import OptimizerConfig, ScheduleConfig
from training.recipes.recipe import Recipe


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
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def set_learning_rate(optimizer: Any, recipe: Recipe, progress: float) -> None:
    """Set the learning rate that the schedule has at a share of the run."""
    rate = recipe.optimizer.learning_rate * schedule(progress, recipe.schedule)
    for group in optimizer.param_groups:
        group["lr"] = rate


def schedule(progress: float, config: ScheduleConfig) -> float:
    """The learning rate relative to its peak, at a share of the run in [0, 1]."""
    if progress < config.warmup:
        return max(progress / config.warmup, 1e-3)
    if config.kind == "constant" or config.warmup == 1:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (progress - config.warmup) / (1 - config.warmup)))


def clip_gradient(vae: VAE, largest_norm: float) -> Tensor:
    """Scale the gradient down to that norm where it is larger; returns its norm before."""
    return torch.nn.utils.clip_grad_norm_(vae.parameters(), largest_norm)


def update_average(average: VAE, vae: VAE, *, decay: float) -> None:
    """average <- decay average + (1 - decay) vae."""
    update = get_ema_multi_avg_fn(decay)
    update(list(average.parameters()), list(vae.parameters()), 0)
