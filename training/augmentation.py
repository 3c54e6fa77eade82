"""Random affine maps of training images; evaluation and serving never see them."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.config import AugmentationConfig


def augment(x: Tensor, config: AugmentationConfig, *, progress: float, background: float) -> Tensor:
    """Move a part of the images by random rotation, shift, scale and shear.

    Nearest-neighbour sampling keeps every value a value of the image; what comes in from outside
    is the background. Draws from torch's ambient randomness, which the loop seeds at each step.

    Args:
        x: (batch, channel, height, width).
        config: Standard deviations of the maps, and how many images they take.
        progress: Part of the run that is done; fewer images are moved as it rises.
        background: The value of what comes in.
    """
    probability = config.probability * max(0.0, 1 - progress / config.until)
    if probability == 0:
        return x
    count, _, height, width = x.shape
    angle, shear, wide, high, right, down = torch.randn(6, count, device=x.device)
    angle = angle * math.radians(config.rotation_degrees)
    wide, high = 1 + config.scale * wide, 1 + config.scale * high
    first = torch.stack(
        [
            wide * angle.cos(),
            config.shear * shear - angle.sin(),
            2 * config.shift_pixels / width * right,
        ],
        dim=1,
    )
    second = torch.stack(
        [angle.sin(), high * angle.cos(), 2 * config.shift_pixels / height * down], dim=1
    )
    grid = F.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x - background, grid, mode="nearest", align_corners=False) + background
    chosen = torch.rand(count, 1, 1, 1, device=x.device) < probability
    return torch.where(chosen, moved, x)
