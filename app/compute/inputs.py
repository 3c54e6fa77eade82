"""A request's items, how much work they are, and the parts in which it is done; no operation."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from app.serving.served_model import ServedModel
from models.distributions.batch_noise import BatchNoise
from models.noise import Purpose


@dataclass(frozen=True)
class Inputs:
    """A request's items, read and checked."""

    x: np.ndarray | None = None
    """(N, C, H, W), float32, observations."""
    latents: np.ndarray | None = None
    """(N, *latent_shape), float32."""
    preprocessing: tuple[tuple[str, ...], ...] | None = None
    preprocessing_steps: tuple[tuple[dict[str, str | None], ...], ...] | None = None
    """The same as objects; see `models.images.Step.to_json`."""
    label: int | None = None
    """Index of the label that the caller gave, for every item."""

    @property
    def num_items(self) -> int:
        """Images and latents together."""
        return sum(len(part) for part in (self.x, self.latents) if part is not None)


def noise_of(seed: int, part: slice, purpose: Purpose, first_item: int) -> BatchNoise:
    """The streams of some of the items."""
    first = first_item + part.start
    return BatchNoise(seed, part.stop - part.start, purpose, first_item=first)


def x_of(served: ServedModel, inputs: Inputs, part: slice) -> Tensor:
    """Some of the images, on the model's device."""
    return torch.from_numpy(cast(np.ndarray, inputs.x)[part]).to(served.device)


def z_of(served: ServedModel, inputs: Inputs, part: slice) -> Tensor:
    """Some of the latents, on the model's device."""
    return torch.from_numpy(cast(np.ndarray, inputs.latents)[part]).to(served.device)
