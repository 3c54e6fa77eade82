"""Reading ahead of the steps: images that lie on the disk are in memory when their step begins.

A cache that is mapped from a file larger than the memory is read page by page, when its images are
touched. A thread touches those of the coming steps, so that the disk and the device work at once;
the operating system keeps the pages as long as there is room. What a step sees does not depend on
it.
"""

import time
from collections.abc import Iterator
from threading import Event, Semaphore, Thread

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

STEPS = 16
"""Steps that are read ahead."""


class ReadAhead:
    """A context in which a thread reads the images of coming steps; `advance` lets it go on."""

    def __init__(
        self,
        cache: UInt8[Tensor, "batch channel height width"],
        batches: Iterator[Int64[Tensor, " batch"]],
    ) -> None:
        """Make a reader that has read nothing.

        Args:
            cache: The mapped levels.
            batches: Positions of the images of each step, from the next one on.
        """
        self._cache, self._batches = cache, batches
        self._room, self._is_over = Semaphore(STEPS), Event()
        self._thread = Thread(target=self._read, name="read-ahead", daemon=True)
        self._images, self._seconds = 0, 0.0

    def advance(self) -> None:
        """Note that a step has taken its images."""
        self._room.release()

    @property
    def images_per_second(self) -> float:
        """The rate at which images are read while the thread reads."""
        return self._images / max(self._seconds, 1e-9)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._room.release()
        self._thread.join()

    def _read(self) -> None:
        for chosen in self._batches:
            self._room.acquire()
            if self._is_over.is_set():
                return
            began = time.perf_counter()
            torch.index_select(self._cache, 0, chosen.sort().values)
            self._seconds += time.perf_counter() - began
            self._images += len(chosen)
