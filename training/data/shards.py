"""A data set in shards, files that hold many encoded pictures and their labels: tar or Parquet.

    <file>                               all pictures, split by content hash (`make_splits.py`)
    <folder>/**/<name>-<number>.<suffix> the same of all files together; or, where names or folders
                                         have a word of a split (train-0000.tar, test/0000.parquet),
                                         splits as given, and what is missing of val and test is
                                         split from train

Pictures keep the order of the shards. Labels are whole numbers from 0 on or names of classes; those
of held-out splits that train has not are left out.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from rich.console import Console

from models.errors import printable
from training.data.disk_cache import DiskCache
from training.data.file_split import FileSplit, SkippedFile
from training.data.held_out_labels import labels_from_train
from training.data.make_splits import PARTS
from training.data.pictures import NO_CACHE, Pictures, SpecsAhead, look
from training.data.samples import Samples
from training.data.split import Labels
from training.errors import DatasetError

NO_LABEL = -1
_NAMED = 3


@dataclass(frozen=True)
class ShardLabels:
    """The label of each picture of all shards."""

    of_pictures: Labels
    """`NO_LABEL` where a picture has none."""
    class_names: tuple[str, ...] = ()
    """The names of the labels 0, 1, ...; empty where labels are numbers without names."""


class Shards(Samples):
    """Encoded pictures in several files, one after the other.

    Attributes:
        root: The file, or the folder of the files.
        paths: The files.
        counts: Pictures of each file.
        labels: Their labels.
        skipped: What is left out before a picture is decoded.
        warnings: What is doubtful, a sentence or two each.
        about: What they are, in words.
        fix: What to do where no picture is found.
        label_fix: What gives a split labels; `{}` stands for its name.
    """

    paths: Sequence[Path]
    counts: Int64[np.ndarray, " shard"]
    labels: ShardLabels
    skipped: Sequence[SkippedFile]
    warnings: Sequence[str]
    about: str
    fix: str
    label_fix: str

    def __len__(self) -> int:
        return int(self.counts.sum())

    def place(self, position: int) -> tuple[int, int]:
        """The shard of a picture, and its number there."""
        ends = np.cumsum(self.counts)
        shard = int(np.searchsorted(ends, position, side="right"))
        return shard, position - int(ends[shard] - self.counts[shard])

    def shard_name(self, shard: int) -> str:
        """Path of a shard relative to the root, printable."""
        path = self.paths[shard]
        return printable(path.name if path == self.root else os.path.relpath(path, self.root))


@dataclass(frozen=True)
class ShardSet:
    """Splits, classes and what is left out of a data set in shards."""

    parts: Mapping[str, FileSplit]
    """The given splits, or all as "train"; in the order of the shards."""
    class_names: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    warnings: tuple[str, ...]


def read_shards(
    shards: Shards,
    *,
    console: Console | None = None,
    cache: DiskCache = NO_CACHE,
    specs: SpecsAhead = (),
) -> ShardSet:
    """Decode every picture once; keep its statistics, not its pixels.

    Args:
        shards: The shards.
        console: Where to show progress; nowhere by default.
        cache: Has the statistics of pictures whose shard did not change, and gets the others.
        specs: What levels to make of pictures that are decoded.

    Raises:
        DatasetError: There is no picture that can be read, or a shard changes meanwhile.
    """
    pictures, left_out = look(shards, console=console, cache=cache, specs=specs)
    skipped = [*shards.skipped]
    skipped += [SkippedFile(shards.name(one), reason) for one, reason in left_out.items()]
    if not len(pictures):
        said = "; ".join(f"{one.path}: {one.reason.split('. ')[0]}" for one in skipped[:_NAMED])
        raise DatasetError(
            f"{shards.root} holds no picture that can be read{f' ({said})' if said else ''}. "
            f"{shards.fix}",
            received=str(shards.root),
        )
    warnings, parts = [*shards.warnings], {}
    for name, rows in _rows_of_splits(shards, pictures, skipped, warnings).items():
        labels = shards.labels.of_pictures[pictures.positions[rows]]
        parts[name] = _label(FileSplit(pictures, rows, labels), name, skipped, warnings)
    class_names = shards.labels.class_names
    warnings += labels_from_train(parts, fix=shards.label_fix, class_names=class_names)
    is_labelled = parts["train"].labels is not None
    return ShardSet(parts, class_names if is_labelled else (), tuple(skipped), tuple(warnings))


def _rows_of_splits(
    shards: Shards, pictures: Pictures, skipped: list[SkippedFile], warnings: list[str]
) -> dict[str, Int64[np.ndarray, " picture"]]:
    """Rows of the pictures of each split that names of shards give; of all as "train" else."""
    names = [shards.shard_name(shard) for shard in range(len(shards.paths))]
    splits = [_split_of(name) for name in names]
    if not {"train"} < set(splits) - {""}:
        return {"train": np.arange(len(pictures))}
    ends = np.cumsum(shards.counts)
    shard_of = np.searchsorted(ends, pictures.positions, side="right")
    found = {}
    for part in ("train", "validation", "test"):
        if rows := np.flatnonzero(np.array([one == part for one in splits])[shard_of]).tolist():
            found[part] = np.array(rows, np.int64)
    outside = [name for name, split in zip(names, splits, strict=True) if not split]
    if outside:
        skipped += [SkippedFile(name, "a shard of no split") for name in outside]
        warnings.append(
            f"Shards are read as splits by their names, and {len(outside):,} of no split "
            f"{'is' if len(outside) == 1 else 'are'} left out, such as {outside[0]!r}. Name every "
            "shard train-..., val-... or test-..., or none."
        )
    return found


def _split_of(name: str) -> str:
    """The split that a word of a shard's name or folders means; empty without one or with two."""
    words = {PARTS[word] for word in re.findall("[a-z]+", name.lower()) if word in PARTS}
    return words.pop() if len(words) == 1 else ""


def _label(
    split: FileSplit, name: str, skipped: list[SkippedFile], warnings: list[str]
) -> FileSplit:
    """Leave out the pictures without a label where they are the fewer, else the labels."""
    assert split.labels is not None
    has_label = split.labels != NO_LABEL
    missing = len(split) - int(has_label.sum())
    if not missing:
        return split
    if 2 * missing < len(split):
        without = np.flatnonzero(~has_label)
        skipped += [SkippedFile(split.name(int(one)), "no label") for one in without]
        warnings.append(
            f"{missing:,} of the {len(split):,} pictures of the {name} split are left out, since "
            f"they have no label, such as {split.name(int(without[0]))!r}. Label all or none."
        )
        return split.take(np.flatnonzero(has_label))
    if missing < len(split):
        warnings.append(
            f"The labels of the {name} split are not used, since {missing:,} of its "
            f"{len(split):,} pictures have none. Label all or none."
        )
    return FileSplit(split.pictures, split.rows)


def number_labels(codes: Labels, values: Sequence[int | str]) -> ShardLabels:
    """Labels as whole numbers: those that are given, or the places of names in their order.

    Args:
        codes: A position in `values` for each picture, or `NO_LABEL`.
        values: The different labels. Numbers beside names are names.
    """
    if all(isinstance(value, int) for value in values):
        numbers = [max(int(value), NO_LABEL) for value in values]  # below 0: none, as in test sets
        return ShardLabels(np.array([*numbers, NO_LABEL], np.int64)[codes])
    names = sorted({printable(str(value)) for value in values})
    place = {name: position for position, name in enumerate(names)}
    numbers = [place[printable(str(value))] for value in values]
    return ShardLabels(np.array([*numbers, NO_LABEL], np.int64)[codes], tuple(names))


def skip_others(root: Path, paths: Iterable[tuple[Path, str]]) -> list[SkippedFile]:
    """What is left out of a folder of shards, with the reason."""
    return [SkippedFile(printable(os.path.relpath(path, root)), reason) for path, reason in paths]
