"""Progress of a call in parts, on standard error or in a notebook, only where it is asked for."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

Show = Callable[[int], None]


@contextmanager
def progress_of(name: str, total: int | None, *, asked: bool) -> Iterator[Show]:
    """A function that shows how many items are done: a bar where rich is installed, else a line.

    Args:
        name: Of the operation.
        total: Number of items, where it is known.
        asked: Whether to show anything.
    """
    if not asked:
        yield lambda done: None
        return
    try:
        rich = import_module("rich.progress")
        console = import_module("rich.console").Console(stderr=True)
    except ImportError:
        yield _lines(name, total)
        sys.stderr.write("\n")
        return
    columns = (*rich.Progress.get_default_columns(), rich.MofNCompleteColumn())
    with rich.Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(name: str, total: int | None) -> Show:
    of = "" if total is None else f" of {total:,}"

    def show(done: int) -> None:
        sys.stderr.write(f"\r{name}: {done:,}{of}")
        sys.stderr.flush()

    return show
