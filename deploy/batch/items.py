"""What a batch reads: pictures of a folder, rows of an array or of Parquet files, by global index.

Paths may be URIs of object stores (`s3://bucket/photos`), through pyarrow's file systems.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.cli.inputs import ARRAY_SUFFIXES, READ_SUFFIXES, find_inputs
from app.operations.table import OPERATIONS, Operation
from deploy.batch.places import Place, find_place
from models.errors import printable
from training.data.parquet_shards import find_images
from vae_client.errors import CallError
from vae_client.sources import ReadArrays, Source, load_arrays, source_of_arrays

_NAMES = ("file", "path", "file_name", "filename", "name", "id")
"""Columns of a Parquet file that name its rows, the first that is there."""


class Items(Protocol):
    """Items with an order, read by their indices.

    They are listed once and pickled for the workers, so that all mean the same by an index; an
    array or a table is opened by each.
    """

    @property
    def count(self) -> int:
        """Number of items."""
        ...

    @property
    def left_out(self) -> Sequence[tuple[str, str]]:
        """Names and reasons of what is no item."""
        ...

    def fingerprint(self) -> str:
        """A digest of names, sizes and times: another one means that rows may have moved."""
        ...

    def read(self, start: int, stop: int) -> Source | None:
        """The items from one index to before another; None where the operation takes none."""
        ...


def find_items(text: str | None, operation: Operation, read: ReadArrays, *, n: int) -> Items:
    """The items that a path or URI names.

    Args:
        text: A folder of pictures, an .npy or .npz, a .parquet or a folder of these; None for an
            operation that takes nothing.
        operation: What is asked for.
        read: How its arrays are read.
        n: Number of items of an operation that takes nothing.

    Raises:
        CallError: It names no input; says a fix.
        DatasetError: A Parquet file has no column of pictures.
    """
    if not operation.takes:
        return Drawn(n)
    if text is None:
        raise CallError(f"{operation.name} needs an input. Name a folder of pictures.")
    place = find_place(text)
    parquet = place.files((".parquet",))
    if parquet:
        return ParquetRows(place, parquet)
    if place.is_local:
        return _local(place.path, operation, read)
    return StoredPictures(place)


def _local(path: str, operation: Operation, read: ReadArrays) -> Items:
    inputs = find_inputs([path], operation.takes, operation=operation.name, output=None)
    arrays = [file for file in inputs.files if file.suffix.lower() in ARRAY_SUFFIXES]
    if inputs.files == arrays and len(arrays) == 1:
        return ArrayRows(arrays[0], operation, read)
    if arrays:
        inputs.left_out += [(printable(str(file)), "an array: name it alone") for file in arrays]
    pictures = [file for file in inputs.files if file not in set(arrays)]
    return Pictures(pictures, left_out=inputs.left_out, failed=inputs.failed)


@dataclass(frozen=True)
class Drawn:
    """Items that need no input, such as samples."""

    count: int
    left_out: Sequence[tuple[str, str]] = ()

    def fingerprint(self) -> str:
        return "drawn"

    def read(self, start: int, stop: int) -> None:
        return None


class Pictures:
    """Files of this machine; those that cannot be read are items too, and get an error."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        left_out: Sequence[tuple[str, str]] = (),
        failed: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Sort the files by name, so that an item's index is the same each time."""
        faults = {name for name, _ in failed}
        self.files = sorted({*map(str, files), *faults})
        self.left_out = left_out
        self.count = len(self.files)

    def fingerprint(self) -> str:
        return _digest(f"{name} {_stamp(Path(name))}" for name in self.files)

    def read(self, start: int, stop: int) -> Source:
        names = self.files[start:stop]
        return Source(tuple(map(printable, names)), tuple(map(Path, names)))


class StoredPictures:
    """Pictures below a URI."""

    def __init__(self, place: Place) -> None:
        """List them.

        Raises:
            CallError: There are none.
        """
        suffixes = tuple(suffix for suffix in READ_SUFFIXES if suffix not in ARRAY_SUFFIXES)
        self._place, files = place, place.files(suffixes)
        self._paths, self._fingerprint = [file.path for file in files], _digest_of_infos(files)
        self.left_out: Sequence[tuple[str, str]] = ()
        self.count = len(files)
        if not files:
            raise CallError(
                f"{printable(place.text)} holds no picture and no .parquet file. Read are: "
                f"{', '.join(suffixes)}. Check the URI."
            )

    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, start: int, stop: int) -> Source:
        paths = self._paths[start:stop]
        return Source(tuple(map(printable, paths)), tuple(map(self._place.read_or_empty, paths)))


class ArrayRows:
    """The rows of one array; an .npy stays on the disk."""

    left_out: Sequence[tuple[str, str]] = ()

    def __init__(self, path: Path, operation: Operation, read: ReadArrays) -> None:
        """Open it.

        Raises:
            CallError: It is no array of such items.
        """
        label = printable(str(path))
        self._operation, self._read = operation.name, read
        self._path, named = path, _open_arrays(path, label)
        self._source = source_of_arrays(named, label, operation.name, operation.takes, read)
        self.count = len(self._source)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._operation, self._read)

    def fingerprint(self) -> str:
        return _digest([f"{self._path} {_stamp(self._path)}"])

    def read(self, start: int, stop: int) -> Source:
        return self._source.take(range(start, stop))


def _reopen(path: Path, operation: str, read: ReadArrays) -> ArrayRows:
    return ArrayRows(path, OPERATIONS[operation], read)


class ParquetRows:
    """The rows of Parquet files: a column of picture files, as `vae-lab train` reads it."""

    left_out: Sequence[tuple[str, str]] = ()

    def __init__(self, place: Place, files: Sequence[Any]) -> None:
        """Read the schemas and the number of rows.

        Raises:
            DatasetError: There is no column of pictures.
        """
        self._place, self._fingerprint = place, _digest_of_infos(files)
        self._groups: list[tuple[str, int]] = []
        self._starts = [0]
        for file in files:
            with place.open_parquet(file.path) as opened:
                schema = opened.schema_arrow
                self._images = find_images(Path(file.path), schema)
                self._named = next((n for n in _NAMES if n in schema.names), None)
                for group in range(opened.num_row_groups):
                    self._groups.append((file.path, group))
                    rows = opened.metadata.row_group(group).num_rows
                    self._starts.append(self._starts[-1] + rows)
        self.count = self._starts[-1]
        self._held: tuple[int, list[str], list[bytes]] = (-1, [], [])

    def fingerprint(self) -> str:
        return self._fingerprint

    def read(self, start: int, stop: int) -> Source:
        labels: list[str] = []
        pictures: list[Path | bytes] = []
        while start < stop:
            group = bisect_right(self._starts, start) - 1
            first = self._starts[group]
            names, contents = self._read_group(group)
            chosen = slice(start - first, stop - first)
            labels += names[chosen]
            pictures += contents[chosen]
            start = min(stop, self._starts[group + 1])
        return Source(tuple(labels), tuple(pictures))

    def _read_group(self, group: int) -> tuple[list[str], list[bytes]]:
        """Names and bytes of a row group, the last of which is kept."""
        if self._held[0] != group:
            path, number = self._groups[group]
            columns = [self._images] + ([self._named] if self._named else [])
            with self._place.open_parquet(path) as opened:
                rows = opened.read_row_group(number, columns=columns).to_pydict()
            cells = [
                cell if isinstance(cell, dict) else {"bytes": cell} for cell in rows[self._images]
            ]
            given = rows[self._named] if self._named else [cell.get("path") for cell in cells]
            first = self._starts[group]
            names = [
                f"{path}[{first + i}]" if name is None else str(name)
                for i, name in enumerate(given)
            ]
            self._held = group, names, [cell["bytes"] or b"" for cell in cells]
        return self._held[1], self._held[2]


def _open_arrays(path: Path, label: str) -> dict[str, np.ndarray]:
    """The arrays of a file by their names; that of an .npy stays on the disk."""
    if path.suffix.lower() == ".npy":
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            found = None  # `load_arrays` explains the fault
        if isinstance(found, np.ndarray):
            return {"": found}
    return load_arrays(path, label)


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        return str(error.strerror)
    return f"{found.st_size} {found.st_mtime_ns}"


def _digest_of_infos(files: Iterable[Any]) -> str:
    """Of a store's files."""
    return _digest(f"{file.path} {file.size} {file.mtime_ns}" for file in files)


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
