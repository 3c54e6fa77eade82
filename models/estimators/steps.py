"""Work in steps: generators that yield passes of a network, and are sent their results.

Whoever runs the steps decides how a pass runs: at once (`run_steps`), a few rows at a time between
other work, or together with the rows of others.
"""

from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from math import prod
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from models.errors import InputError

T = TypeVar("T")
P = ParamSpec("P")

Rows = Tensor | np.ndarray | None
"""Rows of a pass: tensors where the network is, or arrays on the host."""

CHUNK_ROWS = 512
"""Largest number of decoder rows that an estimate asks for at once: it bounds the memory."""


@dataclass(slots=True, eq=False)
class Pass:
    """Rows to send through a function, each of whose results depends on its own row alone."""

    function: Callable[..., tuple[Any, ...]]
    """Takes `given` and `rows`; its results, tensors, arrays or None, have the leading axes of
    the rows."""
    given: tuple[Any, ...]
    """What all rows share, such as the model: hashable. Passes of the same function with equal
    `given` may run together."""
    rows: tuple[Rows, ...]
    """Tensors and arrays with the same leading axes; the first is there."""
    lead: int = 1
    """Number of leading axes."""
    num_rows: int = field(init=False)
    """Product of the leading axes."""

    def __post_init__(self) -> None:
        """Count the rows."""
        shape = self.rows[0].shape  # type: ignore[union-attr]
        self.num_rows = shape[0] if self.lead == 1 else prod(shape[: self.lead])

    def run(self) -> tuple[Any, ...]:
        """Send all rows through the function at once."""
        with torch.no_grad():
            return self.function(*self.given, *self.rows)

    @property
    def key(self) -> Hashable:
        """Passes of the same key may run together."""
        lead = self.lead
        shapes = [row is None or row.shape[lead:] for row in self.rows]
        return self.function, self.given, *shapes

    def flat(self) -> "Pass":
        """The same rows with one leading axis."""
        rows = [
            None if row is None else row.reshape(-1, *row.shape[self.lead :]) for row in self.rows
        ]
        return Pass(self.function, self.given, tuple(rows))

    def split(self, max_rows: int) -> list["Pass"]:
        """Passes of at most so many rows, whose results `join` puts together."""
        if self.num_rows <= max_rows:
            return [self]
        first = len(cast(Tensor, self.rows[0]))
        if self.num_rows // first > max_rows:
            return self.flat().split(max_rows)
        size = max_rows // (self.num_rows // first)
        return [
            Pass(
                self.function,
                self.given,
                tuple(None if row is None else row[start : start + size] for row in self.rows),
                self.lead,
            )
            for start in range(0, first, size)
        ]

    def join(self, results: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The results of all rows from those of the parts of `split`, in their order."""
        if len(results) == 1:
            return results[0]
        first = len(cast(Tensor, self.rows[0]))
        whole = [self.join_rows(parts) for parts in zip(*results, strict=True)]
        # `split` flattens only where one index of the first axis has several rows.
        return tuple(r if r is None or len(r) == first else self.unflat(r) for r in whole)

    @staticmethod
    def join_rows(parts: Sequence[Any]) -> Any:
        """Rows of consecutive parts as one tensor or array; None where the parts are None."""
        if parts[0] is None:
            return None
        return torch.cat(list(parts)) if isinstance(parts[0], Tensor) else np.concatenate(parts)

    def unflat(self, result: Any) -> Any:
        """The leading axes again, of a result that has one for all of them."""
        lead = cast(Tensor, self.rows[0]).shape[: self.lead]
        return result.reshape(*lead, *result.shape[1:])


Steps = Generator[Pass, tuple[Any, ...], T]
"""Yields passes, is sent the results of each, and returns its value."""


class Draws(TypedDict):
    """The keyword arguments that every sampling estimate takes."""

    num_samples: int
    seed: int
    first_item: int
    chunk_rows: int


def run_steps(steps: Steps[T], *, max_rows: int | None = None) -> T:
    """Run steps to their end, each pass at once, and return their value.

    Args:
        steps: The steps.
        max_rows: Rows of a pass that run at a time; all by default.
    """
    try:
        asked = next(steps)
        while True:
            parts = [asked] if max_rows is None else asked.split(max_rows)
            asked = steps.send(asked.join([part.run() for part in parts]))
    except StopIteration as stop:
        result: T = stop.value
        return result


def without_steps(stepwise: Callable[P, Steps[T]]) -> Callable[P, T]:
    """The function that runs a stepwise estimate to its end, with the same arguments."""

    @wraps(stepwise)
    def estimate(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_steps(stepwise(*args, **kwargs))

    return estimate


def chunks(num_samples: int, num_items: int, chunk_rows: int) -> list[int]:
    """Number of samples of each pass: at most `chunk_rows` rows, and at least one sample."""
    size = max(1, min(num_samples, chunk_rows // max(1, num_items)))
    full, rest = divmod(num_samples, size)
    return [size] * full + ([rest] if rest else [])


def check_num_samples(num_samples: int) -> None:
    """Refuse fewer than one sample.

    Raises:
        InputError: Says how many were asked for.
    """
    if num_samples < 1:
        raise InputError(
            f"num_samples={num_samples} is too few: an estimate needs at least 1. Give "
            "num_samples=1 or more.",
            parameter="num_samples",
            received=num_samples,
            suggestion=1,
        )
