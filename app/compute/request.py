"""One request for one operation, as compute takes it: model, items, parameters, label and seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.compute.inputs import Inputs
from app.compute.passes import to_device
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from models.distributions.batch_noise import BatchNoise
from models.noise import Purpose

P = TypeVar("P", bound=Parameters, covariant=True)


@dataclass
class ComputeRequest(Generic[P]):
    """One request for one operation."""

    operation: Operation
    served: ServedModel
    parameters: P
    seed: int
    label: int | None = None
    """Index of the label that the caller gave, for every item."""
    inputs: Inputs = field(default_factory=Inputs)
    report: Callable[[Sequence[int], Mapping[str, Any]], None] | None = None
    """Told running estimates: the index of the first item, and a column for each field."""

    @property
    def draws(self) -> bool:
        """Whether the answer depends on the seed."""
        return self.operation.draws(self.parameters, self.served.capabilities)

    @property
    def first_item(self) -> int:
        """Index of the first item in the noise streams."""
        return int(vars(self.parameters).get("first_item", 0))

    def noise(self, part: slice, purpose: Purpose) -> BatchNoise:
        """The noise streams of some of the items."""
        first = self.first_item + part.start
        return BatchNoise(self.seed, part.stop - part.start, purpose, first_item=first)

    def draw(self, part: slice, purpose: Purpose, num_samples: int) -> Tensor:
        """Noise of each item's first draws, for a distribution's `from_noise`: (sample, item, ...).

        It is on the host, as the other rows of a pass. The purpose names the distribution:
        posterior, prior or likelihood.
        """
        kind, shape = self.served.noise(purpose)
        return self.noise(part, purpose).draw(num_samples, shape, kind=kind)

    def images(self, part: slice) -> np.ndarray:
        """Some of the images, on the host."""
        images: np.ndarray = self.inputs.x  # type: ignore[assignment]
        return images[part]

    def latents(self, part: slice) -> np.ndarray:
        """Some of the latents, on the host."""
        latents: np.ndarray = self.inputs.latents  # type: ignore[assignment]
        return latents[part]

    def x(self, part: slice) -> Tensor:
        """Some of the images, on the model's device."""
        return self.on_device(self.images(part))

    def on_device(self, rows: np.ndarray) -> Tensor:
        """Rows on the model's device."""
        return to_device(rows, torch.device(self.served.device))
