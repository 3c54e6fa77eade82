"""Noise of a batch as torch tensors: one stream for each item."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.noise import NoiseKind, NoiseStream, Purpose

_BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))
"""Largest uniform: rounding to float32 may reach 1, which is outside [0, 1)."""


Items = int | Sequence[int]
"""Position of the first datum of a batch in a request or data set, or the position of each."""


class BatchNoise:
    """One noise stream for each item of a batch."""

    def __init__(
        self, seed: int, num_items: int, purpose: Purpose, *, first_item: Items = 0
    ) -> None:
        """Open the streams of items first_item..first_item + num_items - 1, or of those named."""
        items: Sequence[int] = (
            first_item
            if not isinstance(first_item, int)
            else range(first_item, first_item + num_items)
        )
        self._streams = [NoiseStream(seed, item, purpose) for item in items]

    def draw(
        self,
        num_samples: int,
        event_shape: Sequence[int],
        *,
        kind: NoiseKind = "normal",
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """The next `num_samples` draws of every item, (sample, batch, *event), on the CPU."""
        shape = (num_samples, *event_shape)
        stacked = np.empty((num_samples, len(self._streams), *event_shape))
        for index, stream in enumerate(self._streams):
            stacked[:, index] = stream.draw(kind, shape)
        if kind == "uniform" and dtype != torch.float64:
            stacked = np.minimum(stacked, _BELOW_1)
        if dtype == torch.float32:  # in numpy, which takes less time for little noise
            return torch.from_numpy(stacked.astype(np.float32))
        return torch.from_numpy(stacked).to(dtype)

    def draw_for(
        self, distribution: FromNoise, num_samples: int, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Noise of a distribution's next `num_samples` draws, for its `from_noise`.

        Args:
            distribution: Of batch shape (batch,), one for each item, or ().
            num_samples: Draws of each item.
            dtype: Of the noise.
        """
        return self.draw(
            num_samples,
            distribution.noise_event_shape,
            kind=distribution.noise_kind,
            dtype=dtype,
        )
