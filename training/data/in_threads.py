"""A function of many items, in as many threads as there are CPUs, under a progress bar.

Pillow, numpy and hashlib let other threads run while they decode, resize and hash.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console

from models.cpus import usable_cpus
from training.progress_bar import ProgressBar

_MAX_THREADS = 32
_AHEAD = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    words: str,
    console: Console | None,
    total: int | None = None,
) -> Generator[Result]:
    """Results of each item, in order, under a progress bar if there is a console.

    Args:
        function: What is done with an item.
        items: The items, which are taken a few ahead of the results.
        words: What the bar says.
        console: Where it is shown; nowhere if None.
        total: Number of items; None where it is not known.
    """
    threads = min(_MAX_THREADS, usable_cpus())
    bar = ProgressBar(console=console, transient=True)
    with bar, ThreadPoolExecutor(threads) as pool:
        task = bar.add_task(words, total=total)
        for result in _in_order(pool, function, items, ahead=_AHEAD * threads):
            bar.advance(task)
            yield result


def _in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int,
) -> Generator[Result]:
    """Results as they are taken, so many ahead and no more: a slow disk fills no memory."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
