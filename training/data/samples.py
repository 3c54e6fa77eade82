"""Encoded pictures of a data set before any is decoded: files, members of archives, rows of tables.

Each has a position, 0, 1, ..., in the order in which the set is best read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from training.data.file_stamp import LENGTH, NO_STAMP

Reader = Callable[[], tuple[bytes, bytes]]
"""Reads one encoded picture: its bytes, and the stamp that they had before; from any thread."""

Stamps = UInt8[np.ndarray, "_ 16"]
"""A stamp of each picture; zeros where there is none."""


class Unreadable(Exception):
    """The reason why a picture is not read, whatever its bytes are."""


class Samples(ABC):
    """Encoded pictures at their positions."""

    root: Path
    """The folder or file that they are in."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of pictures, those that cannot be decoded too."""

    @abstractmethod
    def stamps(self) -> Stamps:
        """The stamp of each one now."""

    @abstractmethod
    def readers(self, positions: Int64[np.ndarray, " chosen"]) -> Iterator[Reader]:
        """A reader of each picture at these positions, which ascend."""

    @abstractmethod
    def name(self, position: int) -> str:
        """What a picture is called in messages and lists, relative to the root."""

    def path(self, position: int) -> str:
        """Its path in the folder or in its archive; empty where it has none."""
        return self.name(position)


def pack_stamps(stamps: list[bytes]) -> Stamps:
    """Stamps in one array."""
    whole = b"".join(stamp if stamp != NO_STAMP else bytes(LENGTH) for stamp in stamps)
    return np.frombuffer(whole, np.uint8).reshape(-1, LENGTH)


def stamps_within(stamp: bytes, numbers: Int64[np.ndarray, " picture"]) -> Stamps:
    """Stamps of pictures in one file: eight bytes of the file's, and a number of each picture."""
    found = np.zeros((len(numbers), LENGTH), np.uint8)
    if stamp != NO_STAMP:
        found[:, :8] = np.frombuffer(stamp, np.uint8, 8)
        found[:, 8:] = numbers.astype("<u8").view(np.uint8).reshape(-1, 8)
    return found
