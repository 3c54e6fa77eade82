"""Random flips, crops and affine maps of training images; evaluation and serving use none.

Every value of the result is a value of the image or the background: levels stay levels. Draws come
from torch's ambient randomness, which the loop seeds at each step.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from training.recipes.loop import AugmentationConfig

Images = Float[Tensor, "batch channel height width"]


def augment(x: Images, config: AugmentationConfig, *, progress: float, background: float) -> Images:
    """Flip images, and move a share of them by random crops, rotation, shift, scale and shear.

    Args:
        x: Levels.
        config: Kinds and sizes of the moves, and the share of images that they change.
        progress: Share of the run that is done; fewer images are moved as it rises.
        background: Value of pixels that an affine map brings in from outside.
    """
    for axis in _FLIPPED_AXES[config.flip]:
        flipped = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        x = torch.where(flipped, x.flip(axis), x)
    probability = config.probability * max(0.0, 1 - progress / config.until)
    if probability == 0:
        return x
    moved = move(x, config, background=background)
    if config.crop_pixels > 0:
        moved = crop(moved, config.crop_pixels)
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < probability
    return torch.where(chosen, moved, x)


_FLIPPED_AXES: dict[str, tuple[int, ...]] = {"none": (), "horizontal": (3,), "both": (3, 2)}


def move(x: Images, config: AugmentationConfig, *, background: float) -> Images:
    """Rotate, shift, scale and shear every image by random amounts of its own, to whole pixels."""
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
    return F.grid_sample(x - background, grid, mode="nearest", align_corners=False) + background


def crop(x: Images, pixels: int) -> Images:
    """Shift every image by a random number of whole pixels; the gap shows mirrored pixels."""
    count, _, height, width = x.shape
    framed = F.pad(x, (pixels, pixels, pixels, pixels), mode="reflect")
    top, left = torch.randint(0, 2 * pixels + 1, (2, count, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    picked = torch.arange(count, device=x.device)[:, None, None]
    return framed.movedim(1, -1)[picked, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
