"""A data set by its name or its path: pictures in three fixed splits, behind one door, `load`.

It makes no tensors (a split does, by way of `models.images`), shuffles nothing, and downloads only
when told to. The sets known by name are `known.DATASETS`.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from rich.console import Console

from training.data.arrays import read_arrays
from training.data.catalogue import DATASETS, Entry, Source
from training.data.files import Skipped
from training.data.folders import printable, read_folder, skipped_table
from training.data.split import Facts, Split
from training.data.splitting import complete
from training.errors import DatasetError

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits and what is known of them."""

    name: str
    train: Split
    validation: Split
    test: Split
    licence: str
    """As its source states it."""
    about: str = ""
    """One line of what it shows and where it is from."""
    class_names: tuple[str, ...] = ()
    """By label; empty when there are no labels, or no names for them."""
    skipped: tuple[Skipped, ...] = ()
    """Files of a folder that were not read, and why."""

    @property
    def splits(self) -> dict[str, Split]:
        """By name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def facts(self) -> Facts:
        """Sizes, colour and levels of the training split: what a model may be chosen by."""
        return self.train.facts

    @cached_property
    def sha256(self) -> str:
        """Hex digest of every split's shape, pixels and labels: of the content, not of files."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for part in split.content():
                digest.update(part)
        return digest.hexdigest()


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    console: Console | None = None,
) -> Dataset:
    """The data set of that name, checked against its known digest, or the one at that path.

    Args:
        name: A key of `known.DATASETS`; or a folder of pictures (`folders.py`), an `.npz` or an
            `.npy` (`arrays.py`). A path is looked for as it is, in the data folder, and there by
            its last part, so that a recipe still finds what has moved.
        data_dir: Where data sets are; see `resolve_data_dir` for the default.
        download: Fetch missing files from the set's publisher, if it has one.
        console: Where to show progress and the files that were left out; nowhere by default.

    Raises:
        DatasetError: Unknown name, missing files (it says which, and where), other content, or
            nothing in the folder or file that can be read.
    """
    folder = resolve_data_dir(data_dir)
    if name in DATASETS:
        return _load_known(name, folder, download=download)
    path = find_path(name, folder)
    return _load_folder(path, console) if path.is_dir() else _load_arrays(path)


def find_path(name: str, data_dir: Path) -> Path:
    """The first place where a folder, `.npz` or `.npy` of that name is.

    Raises:
        DatasetError: There is none.
    """
    given = Path(name).expanduser()
    for path in (given, data_dir / given, data_dir / given.name):
        if path.is_dir() or (path.is_file() and path.suffix.lower() in (".npz", ".npy")):
            return path
    raise DatasetError(
        f"A data set is one of {', '.join(DATASETS)}, or the path of a folder of pictures, of an "
        f".npz or of an .npy; received {name!r}, which is none of these here or in {data_dir}. "
        "Choose a name, or check the path."
    )


def resolve_data_dir(data_dir: Path | None) -> Path:
    """The folder given, else `VAE_DATA_DIR` of the environment, else `data` here."""
    return data_dir or Path(os.environ.get("VAE_DATA_DIR") or "data")


def at_hand(name: str, *, data_dir: Path | None = None) -> bool:
    """Whether every file that the set needs is there; reads none of them."""
    return DATASETS[name].find(resolve_data_dir(data_dir)) is not None


def _load_known(name: str, data_dir: Path, *, download: bool) -> Dataset:
    entry = DATASETS[name]
    source, paths = entry.find(data_dir) or _fetch(name, entry, data_dir, download=download)
    train, validation, test = (replace(split, levels=entry.levels) for split in source.read(paths))
    dataset = Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        licence=entry.licence,
        about=entry.about,
        class_names=entry.class_names,
    )
    if entry.sha256 is not None and dataset.sha256 != entry.sha256:
        raise DatasetError(
            f"The content of {name} has the sha256 {entry.sha256}; received {dataset.sha256} from "
            f"{', '.join(map(str, paths)) or 'the library'}. Fetch these files again."
        )
    return dataset


def _load_folder(path: Path, console: Console | None) -> Dataset:
    folder = read_folder(path, console=console)
    if console is not None and folder.skipped:
        console.print(skipped_table(folder.skipped))
    train, validation, test = complete(folder.parts)
    return Dataset(
        name=printable(path.resolve().name),
        train=train,
        validation=validation,
        test=test,
        licence=NOT_STATED,
        about="the pictures of a folder",
        class_names=folder.class_names,
        skipped=folder.skipped,
    )


def _load_arrays(path: Path) -> Dataset:
    arrays = read_arrays(path)
    train, validation, test = complete(arrays.parts)
    return Dataset(
        name=printable(path.name),
        train=train,
        validation=validation,
        test=test,
        licence=NOT_STATED,
        about="the arrays of a file",
        class_names=arrays.class_names,
    )


def _fetch(name: str, entry: Entry, data_dir: Path, *, download: bool) -> tuple[Source, list[Path]]:
    known = next((source for source in entry.sources if source.url), None)
    if download and known is not None:
        return known, known.download(data_dir)
    wanted = ", or ".join(
        f"{', '.join(source.files)} in {data_dir / source.folder}" for source in entry.sources
    )
    remedy = "add --download" if known is not None else "put them there by hand"
    raise DatasetError(
        f"The data set {name} needs its files, gzipped or not: {wanted}; received none that are "
        f"complete. Name another folder with --data-dir or VAE_DATA_DIR, or {remedy}."
    )
