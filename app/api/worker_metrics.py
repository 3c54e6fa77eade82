"""Metrics of several workers: each writes files into one folder, and any of them sums all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess, values

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Make the folder and name it in the environment; it is removed at the end."""
    memory = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="vae-metrics-", dir=memory)
    before = os.environ.get(FOLDER_VARIABLE)
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        remove_metrics_folder()
        if before is not None:
            os.environ[FOLDER_VARIABLE] = before


def remove_metrics_folder() -> None:
    """Remove the folder that the environment names."""
    shutil.rmtree(os.environ.pop(FOLDER_VARIABLE, ""), ignore_errors=True)


def count_as_worker(number: int) -> None:
    """Let metrics made from now on be those of a worker; call it before the app is made.

    Args:
        number: One that no other live worker has. A later one goes on with the files of the one
            before, so that counters never fall and files do not gather.
    """
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]


def is_worker() -> bool:
    """Whether this process is one of several workers, which count in one folder."""
    return FOLDER_VARIABLE in os.environ


def sum_of_workers() -> CollectorRegistry:
    """The metrics of all workers, as their files say."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_worker(number: int) -> None:
    """Drop the gauges of a worker that has ended."""
    multiprocess.mark_process_dead(number)  # type: ignore[no-untyped-call]
