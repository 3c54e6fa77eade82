"""Estimates in steps: generators that yield between chunks of work."""

from collections.abc import Generator
from typing import TypeVar

from models.errors import InputError

T = TypeVar("T")


Steps = Generator[None, None, T]
"""Yields None between chunks and returns its value."""


CHUNK_ROWS = 512
"""Decoder rows of one uninterrupted pass: some tens of milliseconds for a model of 10 MMAC."""


def run_steps(steps: Generator[None, None, T]) -> T:
    """Run a stepwise estimate to its end and return its value."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def chunks(num_samples: int, num_items: int, chunk_rows: int) -> list[int]:
    """Samples of each pass: at most `chunk_rows` rows, and at least one sample."""
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
            f"An estimate needs at least 1 sample; received {num_samples}. Ask for more."
        )
