"""Pictures and arrays, on disk or in memory, as bodies of requests."""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vae_client.errors import CallError, UnreadableItems

NPZ_TYPE = "application/x-npz"
ANY_TYPE = "application/octet-stream"
"""The service tells a picture's format by its first bytes, whatever the file's name says."""
MAX_REQUEST_BYTES = 16 * 2**20
"""Most bytes of several items in one request: half of what a service takes by default."""

AsBatch = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ReadArrays:
    """How a model's arrays are read; both raise ValueError for an array that does not fit."""

    images: AsBatch
    """An array of pictures with its axes in the model's order, (N, C, H, W)."""
    latents: AsBatch
    """An array of latents, a row for each."""
    are_latents: Callable[[np.ndarray], bool]
    """Whether an array that may hold either holds latents."""


@dataclass(frozen=True)
class Source:
    """Items that can share a request: pictures, or the rows of one array."""

    labels: tuple[str, ...]
    pictures: tuple[Path | bytes, ...] = ()
    array: np.ndarray | None = None
    kind: str = "images"
    defaults: Mapping[str, str] = field(default_factory=dict)
    """Parameters that follow from the whole array, where a part of it might say otherwise."""
    name: str = ""
    """Of an array's file, for the names of its rows."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Sequence[int]) -> "Source":
        """The items at these positions."""
        return replace(
            self,
            labels=tuple(self.labels[i] for i in chosen),
            pictures=tuple(self.pictures[i] for i in chosen) if self.pictures else (),
            array=None if self.array is None else self.array[list(chosen)],
        )

    def cut(self, max_items: int, max_bytes: int = MAX_REQUEST_BYTES) -> Iterator["Source"]:
        """Parts of at most so many items, and of so many bytes where they are more than one."""
        start = 0
        while start < len(self):
            stop = start + self.fitting(start, max_items, max_bytes)
            yield self.take(range(start, stop))
            start = stop

    def fitting(self, start: int, max_items: int, max_bytes: int = MAX_REQUEST_BYTES) -> int:
        """Number of items from one on that share a request: at least that one."""
        stop = min(start + max_items, len(self))
        total = 0
        for i in range(start, stop):
            total += self._size(i)
            if total > max_bytes and i > start:
                return i - start
        return stop - start

    def _size(self, i: int) -> int:
        """Bytes of an item; 0 of a file that is gone, which its request will say."""
        if self.array is not None:
            return int(self.array[i].nbytes)
        picture = self.pictures[i]
        if isinstance(picture, bytes):
            return len(picture)
        try:
            return picture.stat().st_size
        except OSError:
            return 0

    def request(self) -> dict[str, Any]:
        """Arguments of httpx that send all items.

        Raises:
            UnreadableItems: A file cannot be read.
        """
        if self.array is not None:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **{self.kind: self.array})
            return {
                "content": buffer.getvalue(),
                "headers": {"Content-Type": NPZ_TYPE},
            }
        return {
            "files": [("images", ("picture", data, ANY_TYPE)) for data in self._read_pictures()]
        }

    def _read_pictures(self) -> list[bytes]:
        contents, faults = [], {}
        for i, picture in enumerate(self.pictures):
            try:
                contents.append(picture if isinstance(picture, bytes) else picture.read_bytes())
            except OSError as error:
                faults[i] = f"{error.strerror}. Check the file and its permissions."
        if faults:
            words = [f"{self.labels[i]}: {reason}" for i, reason in faults.items()]
            raise UnreadableItems("\n".join(words), faults)
        return contents


def array_source(
    path: Path | BinaryIO, label: str, operation: str, takes: Sequence[str], read: ReadArrays
) -> Source:
    """The rows of an .npy or .npz as a source.

    Args:
        path: The file.
        label: Its name in messages; its rows are `label[0]`, `label[1]`, ...
        operation: The operation's name, for messages.
        takes: What its body may hold: "images", "latents".
        read: How its arrays are read.

    Raises:
        CallError: It is not an array of numbers, or has another shape.
    """
    return source_of_arrays(load_arrays(path, label), label, operation, takes, read)


def source_of_arrays(
    named: Mapping[str, np.ndarray],
    label: str,
    operation: str,
    takes: Sequence[str],
    read: ReadArrays,
) -> Source:
    """The rows of the one array that an operation takes, of those that a file holds by name.

    Raises:
        CallError: It is not an array of numbers, or has another shape.
    """
    wanted = [kind for kind in takes if kind in named] or list(named)[:1]
    if not wanted or (len(named) > 1 and wanted[0] not in takes):
        raise CallError(
            f"{label} holds {', '.join(named) or 'no array'}; {operation} takes "
            f"{' or '.join(takes)}. Save one array of that name: numpy.savez(file, "
            f"{takes[0]}=array)."
        )
    array = named[wanted[0]]
    if array.dtype.kind not in "biuf":
        raise CallError(
            f"{label} holds an array of {array.dtype}, not of numbers. Save numbers: "
            "numpy.save(file, array.astype('float32'))."
        )
    kind = wanted[0] if wanted[0] in takes else takes[0]
    if wanted[0] not in takes and "latents" in takes and read.are_latents(array):
        kind = "latents"
    if kind == "latents" and array.ndim == 0:
        raise CallError(
            f"{label} holds one number; {operation} takes latents of shape (N, ...). Save an "
            "array with a row for each latent."
        )
    try:
        array = read.images(array) if kind == "images" else read.latents(array)
    except ValueError as error:
        raise CallError(f"{label}: {error}") from error
    labels = tuple(f"{label}[{i}]" for i in range(len(array)))
    return Source(labels, array=array, kind=kind, defaults=needed_pixel_max(array, kind))


def needed_pixel_max(array: np.ndarray, kind: str) -> dict[str, str]:
    """The parameter that says of a part of an array how the whole is read."""
    if kind != "images" or array.dtype.kind not in "ui":
        return {}
    return {} if array.max(initial=0) == 1 else {"pixel_max": "255"}


def load_arrays(path: Path | BinaryIO, label: str) -> dict[str, np.ndarray]:
    """The arrays of a file by their names; the one of an .npy has none.

    Raises:
        CallError: It is no whole file of arrays of numbers.
    """
    try:
        with path.open("rb") if isinstance(path, Path) else path as file:
            loaded = np.load(file, allow_pickle=False)
            return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise CallError(f"{label} {_array_fault(path, error)}") from error


def _array_fault(path: Path | BinaryIO, error: Exception) -> str:
    """Why numpy does not read a file, and a fix."""
    if isinstance(error, OSError):
        return f"cannot be opened: {error.strerror or error}. Check the path and its permissions."
    if isinstance(error, MemoryError):
        return "holds more numbers than there is memory. Save its rows in several files."
    if "Object arrays" in str(error):
        return (
            "holds Python objects, not numbers. Save numbers: numpy.save(file, "
            "array.astype('float32'))."
        )
    if not isinstance(path, Path):
        return "is not a whole array that numpy.save or numpy.savez wrote. Send it again."
    with path.open("rb") as file:
        head = file.read(6)
    if not head or head == b"\x93NUMPY" or head[:4] == b"PK\x03\x04":
        return f"is truncated ({path.stat().st_size:,} bytes). Copy or save it again."
    return "is not an array that numpy.save or numpy.savez wrote. Write it with numpy.save."
