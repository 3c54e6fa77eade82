"""Time calls in turns, so that other load on the machine falls on all of them alike."""

import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import torch
from rich.table import Table


def interleave(
    sides: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    min_rounds: int = 3,
    max_rounds: int = 1000,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Time every side once per round, in reverse order every second round.

    Args:
        sides: Calls to measure, by name.
        seconds: Time after which no round begins.
        min_rounds: Least rounds, even after `seconds`.
        max_rounds: Most rounds.
        repeats: Calls of each side per round; more than 1 for calls of microseconds.
        clock: Clock that gives seconds.

    Returns:
        Seconds of one call in each round, by name.
    """
    took: dict[str, list[float]] = {name: [] for name in sides}
    ends_at = time.perf_counter() + seconds
    while len(next(iter(took.values()))) < max_rounds:
        done = len(next(iter(took.values())))
        if done >= min_rounds and time.perf_counter() > ends_at:
            break
        for name in sides if done % 2 == 0 else reversed(list(sides)):
            call = sides[name]
            started_at = clock()
            for _ in range(repeats):
                call()
            took[name].append((clock() - started_at) / repeats)
    return {name: np.array(values) for name, values in took.items()}


def clock(threads: int) -> Callable[[], float]:
    """Processor time for one thread, which leaves out other processes; else wall time."""
    return time.process_time if threads == 1 else time.perf_counter


def ratio(over: np.ndarray, under: np.ndarray) -> str:
    """Median over rounds of `over / under`, with its quartiles."""
    low, middle, high = np.percentile(over / under, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def duration(seconds: float) -> str:
    """Seconds as text: three digits with a unit."""
    scale, unit = (1e3, "ms") if seconds >= 1e-3 else (1e6, "us")
    return f"{seconds * scale:.3g} {unit}" if seconds < 1 else f"{seconds:.3g} s"


def table(title: str, first: str, *columns: str, caption: str = "") -> Table:
    """Empty table whose numbers are aligned to the right."""
    made = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    made.add_column(first)
    for column in columns:
        made.add_column(column, justify="right")
    return made


def as_markdown(made: Table) -> str:
    """Title, rows and caption of a table, for docs/performance.md."""
    columns = [[str(column.header), *map(str, column.cells)] for column in made.columns]
    rows = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    rule = "|---|" + "---:|" * (len(columns) - 1)
    return "\n".join([f"{made.title}\n", rows[0], rule, *rows[1:], f"\n{made.caption}\n"])


def machine(threads: int) -> str:
    """Date, processor, load and versions of the machine that measures."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {processor()}, {os.cpu_count()} cores, load "
        f"{load}, {threads} thread(s), Python {platform.python_version()}, torch "
        f"{torch.__version__}"
    )


def processor() -> str:
    """Processor's name from /proc/cpuinfo, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
