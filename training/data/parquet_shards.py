"""Parquet files of encoded pictures, as Hugging Face writes them: a column of pictures, and labels.

The column of pictures holds bytes, or structs of `bytes` and `path`. The column of labels is called
label (labels, cls, class, target, y), or is the only one that the schema says holds classes; it
has whole numbers or names. Rows are read in the order of the file, a few at a time.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from training.data.file_split import SkippedFile
from training.data.file_stamp import NO_STAMP, stamp_file
from training.data.samples import Reader, Stamps, Unreadable, stamps_within
from training.data.shards import NO_LABEL, ShardLabels, Shards, number_labels
from training.errors import DatasetError

_IMAGES = ("image", "img", "images", "picture", "png", "jpg", "jpeg")
_LABELS = ("label", "labels", "cls", "class", "target", "y")
_ROWS = 64


class ParquetShards(Shards):
    """The pictures of Parquet files."""

    about = "the pictures of Parquet files"
    fix = "Its column of pictures must hold whole PNG, JPEG or other picture files."
    label_fix = "Add the column of labels to its files"

    def __init__(
        self, root: Path, paths: Sequence[Path], *, skipped: Sequence[SkippedFile] = ()
    ) -> None:
        """Read the schemas, and the labels.

        Raises:
            DatasetError: pyarrow is not installed, a file is damaged, or has no column of pictures.
        """
        self._parquet = _find_pyarrow()
        self.root, self.paths, self.skipped = root, paths, skipped
        self._stamps = [stamp_file(path)[0] for path in paths]
        self._column, label, class_names = "", "", None
        counts, codes, values = [], [], dict[int | str, int]()
        warnings: list[str] = []
        for path in paths:
            with _reading(path), self._parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                if not self._column:
                    self._column = find_images(path, schema)
                if not label:  # a test set may have none
                    label, class_names = _find_labels(schema, self._column, warnings)
                _check_images(path, schema, self._column)
                counts.append(file.metadata.num_rows)
                codes.append(_read_labels(file, label, values))
        self.counts = np.array(counts, np.int64)
        self.labels = number_labels(np.concatenate(codes), list(values))
        if class_names and not self.labels.class_names:
            self.labels = ShardLabels(self.labels.of_pictures, class_names)
        self.warnings = list(dict.fromkeys(warnings))

    def stamps(self) -> Stamps:
        return np.concatenate(
            [
                stamps_within(stamp, np.arange(count))
                for stamp, count in zip(self._stamps, self.counts, strict=True)
            ]
        )

    def readers(self, positions: Int64[np.ndarray, " chosen"]) -> Iterator[Reader]:
        ends = np.cumsum(self.counts)
        for shard, path in enumerate(self.paths):
            first = ends[shard] - self.counts[shard]
            low, high = np.searchsorted(positions, [first, ends[shard]])
            if low < high:
                yield from self._readers_of(shard, path, positions[low:high] - first)

    def name(self, position: int) -> str:
        shard, row = self.place(position)
        return f"{self.shard_name(shard)}[{row}]"

    def path(self, position: int) -> str:
        return ""

    def _readers_of(
        self, shard: int, path: Path, rows: Int64[np.ndarray, " chosen"]
    ) -> Iterator[Reader]:
        """A reader of each of these rows; row groups without any of them are left alone."""
        stamp, _ = stamp_file(path)
        if self._stamps[shard] not in (NO_STAMP, stamp):
            raise DatasetError(
                f"{path} changed after its rows were counted. Run the command again."
            )
        stamps = stamps_within(stamp, rows)
        with _reading(path), self._parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            first, done = 0, 0
            for group, count in enumerate(groups):
                if np.searchsorted(rows, first + count) > done:
                    for cell, row in self._cells(file, group, first):
                        if done < len(rows) and rows[done] == row:
                            yield partial(
                                _give, cell, stamps[done].tobytes() if stamp else NO_STAMP
                            )
                            done += 1
                first += count

    def _cells(self, file: Any, group: int, first: int) -> Iterator[tuple[Any, int]]:
        """Every cell of a row group's pictures, with its row."""
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[self._column]):
            for cell in batch.column(0):
                yield cell, first
                first += 1


def _give(cell: Any, stamp: bytes) -> tuple[bytes, bytes]:
    found = cell.as_py()
    data = found.get("bytes") if isinstance(found, dict) else found
    if data is None:
        where = found.get("path") if isinstance(found, dict) else None
        raise Unreadable(f"its bytes are not in the table, but in {where}" if where else "empty")
    if not data:
        raise Unreadable("empty")
    return data, stamp


def find_images(path: Path, schema: Any) -> str:
    """The column of pictures.

    Raises:
        DatasetError: There is none, or several may be it.
    """
    features = _features(schema)
    columns = [field.name for field in schema if _may_hold_pictures(field.type)]
    declared = [name for name in columns if _kind(features.get(name)) == "Image"]
    named = [name for name in _IMAGES if name in columns]
    if found := (declared if len(declared) == 1 else named or declared or columns[:2]):
        if len(found) == 1 or found is named:
            return found[0]
        raise DatasetError(
            f"{path} has several columns that may hold pictures: {', '.join(columns)}. Call the "
            "one to train on image.",
            received=columns,
        )
    said = ", ".join(f"{field.name} ({field.type})" for field in schema)
    raise DatasetError(
        f"{path} has no column of pictures; its columns are {said or 'none'}. A column of pictures "
        "holds bytes of picture files, or structs of bytes and path. Call it image.",
        received=[field.name for field in schema],
        allowed=_IMAGES,
    )


def _may_hold_pictures(kind: Any) -> bool:
    if str(kind).startswith("struct"):
        return any(part.name == "bytes" and _is_binary(part.type) for part in kind)
    return _is_binary(kind)


def _is_binary(kind: Any) -> bool:
    return str(kind) in ("binary", "large_binary", "binary_view")


def _find_labels(
    schema: Any, images: str, warnings: list[str]
) -> tuple[str, tuple[str, ...] | None]:
    """The column of labels, empty without one; and the names that the schema has for them."""
    features = _features(schema)
    columns = [field.name for field in schema if field.name != images and _may_label(field.type)]
    classes = [name for name in columns if _kind(features.get(name)) == "ClassLabel"]
    named = [name for name in _LABELS if name in columns]
    if not named and len(classes) > 1:
        warnings.append(
            f"Labels are not read, since several columns hold classes: {', '.join(classes)}. Call "
            "one of them label."
        )
    found = named or (classes if len(classes) == 1 else [])
    if not found:
        return "", None
    names = (features.get(found[0]) or {}).get("names")
    return found[0], tuple(map(str, names)) if names else None


def _may_label(kind: Any) -> bool:
    return (
        str(kind) in ("string", "large_string", "string_view") or "int" in str(kind).split("[")[0]
    )


def _features(schema: Any) -> dict[str, Any]:
    """The columns as Hugging Face describes them; empty where it did not write the file."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _kind(feature: Any) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _check_images(path: Path, schema: Any, images: str) -> None:
    if images not in schema.names:
        raise DatasetError(
            f"{path} lacks the column {images}, which the files before it have; its columns are "
            f"{', '.join(schema.names)}. Give all files the same column of pictures.",
            received=list(schema.names),
        )


def _read_labels(file: Any, column: str, values: dict[int | str, int]) -> Int64[np.ndarray, " row"]:
    """Positions of the rows' labels in `values`, which grows."""
    found = np.full(file.metadata.num_rows, NO_LABEL, np.int64)
    first = 0
    is_there = column in file.schema_arrow.names
    for batch in file.iter_batches(columns=[column]) if is_there else ():
        for row, label in enumerate(batch.column(0).to_pylist(), first):
            if label is not None and label != "":
                found[row] = values.setdefault(label, len(values))
        first += len(batch)
    return found


def _find_pyarrow() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError:
        raise DatasetError(
            "Parquet files are read by pyarrow, which is not installed. Run pip install "
            "'vae-serve[parquet]', or pip install pyarrow."
        ) from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say which file cannot be read, and why."""
    errors = import_module("pyarrow").ArrowException
    try:
        yield
    except (errors, OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is no whole Parquet file: {str(error).rstrip('.')}. Fetch or write it again.",
            received=str(path),
        ) from error
