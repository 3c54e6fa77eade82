"""Recordings of a model's calls: all of its operators in one call, with no Python between them.

A call of a network takes Python's interpreter lock anew after each operator, and waits for the
event loop each time; a recorded one takes it once. A recording must give the same bits as the call
that it stands for, or it is not kept. Calls of many rows, of other shapes and on a GPU run as they
are written.
"""

import warnings
from collections.abc import Callable
from traceback import clear_frames
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from models.vae.model import VAE
from models.vae.networks import Network

Results = tuple[Tensor | None, ...]
Call = Callable[..., Results]
"""Takes a model, options, rows and the rows' labels or None."""

MAX_ROWS = 64
"""Most rows that a recording takes: a network runs more in blocks, which a recording does not."""
_TRIED_ROWS = (5, 1)
_RECORDED_ROWS = 3


class _Recorder(nn.Module):
    """A call as a module: so its recording keeps the model's weights, and ends with them."""

    def __init__(self, vae: VAE, call: Call, options: tuple[Any, ...]) -> None:
        super().__init__()
        self.vae, self.call, self.options = vae, call, options

    def forward(self, rows: Tensor, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """The results that there are."""
        results = self.call(self.vae, *self.options, rows, y)
        return tuple(result for result in results if result is not None)


class Recording:
    """A recorded call of one model."""

    def __init__(
        self, vae: VAE, call: Call, options: tuple[Any, ...], rows: Tensor, y: Tensor | None
    ) -> None:
        """Record the call of a few rows; the recording takes any number up to a limit."""
        given = (rows,) if y is None else (rows, y)
        with warnings.catch_warnings(), torch.no_grad():
            # Of shapes that are the same in all calls, and that newer torch advises its compiler,
            # which needs one for C++.
            warnings.simplefilter("ignore")
            recorder = _Recorder(vae, call, options).eval()
            self._run = torch.jit.trace(recorder, given, check_trace=False)
            results = call(vae, *options, rows, y)
        self._is_there = [result is not None for result in results]
        self._like = rows.dtype, rows.shape[1:], y is None
        blocks = [network.block_rows for network in vae.modules() if isinstance(network, Network)]
        self._max_rows = min(MAX_ROWS, *blocks)

    def takes(self, rows: Tensor, y: Tensor | None) -> bool:
        """Whether these rows are like those that were recorded."""
        like = rows.dtype, rows.shape[1:], y is None
        return like == self._like and len(rows) <= self._max_rows

    def __call__(self, rows: Tensor, y: Tensor | None) -> Results:
        """What the call gives of these rows."""
        found = iter(self._run(rows) if y is None else self._run(rows, y))
        return tuple(next(found) if is_there else None for is_there in self._is_there)


_recordings: WeakKeyDictionary[VAE, dict[tuple[Any, ...], Recording | None]] = WeakKeyDictionary()
"""None for a call that cannot be recorded."""


def record(call: Call, vae: VAE, *options: Any, shape: tuple[int, ...]) -> None:
    """Record a call of a frozen model on a CPU once, if the recording gives the same bits.

    Args:
        call: The call.
        vae: The model.
        options: What the call takes between the model and the rows.
        shape: Of one row.
    """
    if next(vae.parameters()).device.type != "cpu":
        return
    kept, key = _recordings.setdefault(vae, {}), (call, *options)
    if key not in kept:
        kept[key] = _try_to_record(call, vae, options, shape)


def _try_to_record(
    call: Call, vae: VAE, options: tuple[Any, ...], shape: tuple[int, ...]
) -> Recording | None:
    """None where torch cannot record the call, or the recording gives other bits."""
    weight = next(vae.parameters())
    random = torch.Generator().manual_seed(0)

    def example(count: int) -> tuple[Tensor, Tensor | None]:
        rows = torch.rand(count, *shape, generator=random).to(weight)
        return rows, torch.arange(count) % vae.num_labels if vae.num_labels else None

    try:
        recording = Recording(vae, call, options, *example(_RECORDED_ROWS))
        with torch.inference_mode():
            tries = [example(count) for count in _TRIED_ROWS]
            wanted = [call(vae, *options, *rows) for rows in tries]
            for _ in range(2):  # torch improves a recording after its first call
                if not all(map(_is_same, [recording(*rows) for rows in tries], wanted)):
                    return None
    except Exception as error:  # whatever torch cannot record runs as it is written
        _forget(error)
        return None
    return recording


def _forget(error: BaseException | None) -> None:
    """Empty the frames of a failure: a circle through them would keep the model."""
    while error is not None:
        clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _is_same(recorded: Results, wanted: Results) -> bool:
    pairs = zip(recorded, wanted, strict=True)
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


def run(call: Call, vae: VAE, *options: Any, rows: Tensor, y: Tensor | None) -> Results:
    """Run a call, or its recording where there is one that takes these rows."""
    recording = _recordings.get(vae, {}).get((call, *options))
    if recording is None or not recording.takes(rows, y):
        return call(vae, *options, rows, y)
    return recording(rows, y)
