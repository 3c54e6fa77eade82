"""Estimates in steps: generators that yield between chunks of work."""

from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, TypedDict, TypeVar

from models.errors import InputError

T = TypeVar("T")
P = ParamSpec("P")

Steps = Generator[None, None, T]
"""Yields None between chunks and returns its value."""

CHUNK_ROWS = 512
"""Decoder rows of one uninterrupted pass: some tens of milliseconds for a model of 10 MMAC."""


class Draws(TypedDict):
    """The keyword arguments that every sampling estimate takes."""

    num_samples: int
    seed: int
    first_item: int
    chunk_rows: int


def run_steps(steps: Steps[T]) -> T:
    """Run a stepwise estimate to its end and return its value."""
    while True:
        try:
            next(steps)
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
