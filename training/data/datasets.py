"""Load a data set by its name or path: pictures in three fixed splits.

`catalogue.DATASETS` holds the sets known by name. Pictures become tensors in `split.py`.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from rich.console import Console

from models.errors import closest, printable
from models.files import own_folder, search
from models.images import ImageSpec
from models.images.levels import cached_spec
from training.data.array_split import ArraySplit
from training.data.arrays import Arrays, read_arrays
from training.data.catalogue import DATASETS, Entry, Source
from training.data.disk_cache import open_cache
from training.data.doubts import doubts
from training.data.file_split import FileSplit, SkippedFile
from training.data.find_shards import find_shards
from training.data.folders import Folder, read_folder
from training.data.groups import ENTRY, find_groups
from training.data.image_statistics import ImageStatistics
from training.data.kept_levels import SPLITS, KeptLevels
from training.data.left_out import left_out_table
from training.data.make_splits import hold_out
from training.data.pictures import SpecsAhead
from training.data.refusals import DATA_FORMS, FILE_SUFFIXES, SHARD_SUFFIXES, is_url, why_no_dataset
from training.data.shards import ShardSet, read_shards
from training.data.split import Split
from training.errors import DatasetError

NOT_STATED = "not stated"
_FOLDER = "the pictures of a folder"


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test split, and where they are from."""

    name: str
    train: Split
    validation: Split
    test: Split
    licence: str
    """Licence, as the source states it."""
    republished_under: str = ""
    """Licence under which single pictures may be published again; empty where none is known."""
    about: str = ""
    """What it shows and where it is from, in one line."""
    class_names: tuple[str, ...] = ()
    """Name of each label; empty without labels or names."""
    skipped: tuple[SkippedFile, ...] = ()
    """Files of a folder that were not read, and why."""
    warnings: tuple[str, ...] = ()
    """What is doubtful in data at a path, a sentence or two each."""
    split_by: str = ""
    """How data at a path were split, in words; empty for a known set, whose splits are fixed."""

    @property
    def splits(self) -> dict[str, Split]:
        """By name, in the order train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def statistics(self) -> ImageStatistics:
        """Sizes, colour and levels of the training pictures."""
        return self.train.statistics

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the content, not of files: every split's shape, pixels and labels."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for part in split.content():
                digest.update(part)
        return digest.hexdigest()

    def keep_levels(self, spec: ImageSpec) -> None:
        """Keep the levels of every split where some were made ahead, and give their room back.

        Args:
            spec: The image spec of a recipe.
        """
        splits = [split for split in self.splits.values() if isinstance(split, FileSplit)]
        for split in splits:
            split.keep_levels(cached_spec(spec) if split is self.train else spec)
        for split in splits:
            split.pictures.ahead.close()


def load(
    name: str,
    *,
    group_by: str | None = None,
    specs: SpecsAhead = (),
    recorded: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    console: Console | None = None,
) -> Dataset:
    """Load a known data set, checked against its sha256, or the one at a path.

    Args:
        name: A key of `catalogue.DATASETS`; or a folder of pictures (`folders.py`), an `.npz` or an
            `.npy` (`arrays.py`), a `.tar`, a `.parquet` or a folder of these (`shards.py`). A path
            is looked for as it is, in the data folder, and there by its last part, so that a
            recipe still finds what has moved.
        group_by: What no split may part, of data at a path; see `groups.py`.
        specs: What levels of encoded pictures will be asked for, so that they are made while each
            one is looked at, and no picture is decoded twice; see `Dataset.keep_levels`.
        recorded: The sha256 of a run's data. A split of the same content whose near-copies are in
            several splits, as earlier versions made it, is taken where it has this one.
        data_dir: Folder of data sets; see `resolve_data_dir` for the default.
        download: Fetch missing files from the set's publisher, if it has one.
        console: Where to show progress, the files left out and warnings; nowhere by default.

    Raises:
        DatasetError: The name is unknown, files are missing, their content is another one, or
            nothing in the folder or file can be read.
    """
    folder = resolve_data_dir(data_dir)
    if name in DATASETS:
        if group_by is not None:
            raise DatasetError(
                f"The splits of {name} are fixed, so dataset.group_by = {group_by!r} cannot change "
                "them. Leave it out, or name a folder of pictures.",
                parameter=ENTRY,
                received=group_by,
            )
        return _load_known(name, folder, download=download)
    path = find_path(name, folder)
    return _load_path(
        path, console, group_by=group_by, specs=specs, recorded=recorded, data_dir=folder
    )


def find_path(name: str, data_dir: Path) -> Path:
    """Path of the folder or the file of that name.

    Raises:
        DatasetError: There is none.
    """
    if not name.strip():
        raise DatasetError(
            f"The name of the data set is empty. Data are {DATA_FORMS}, or one of "
            f"{', '.join(DATASETS)}. Write . for this folder.",
            parameter="dataset.name",
            received=name,
            allowed=DATASETS,
        )
    given = Path(name).expanduser()
    paths = (given, data_dir / given, data_dir / given.name)
    for path in paths:
        if path.is_dir() or (path.is_file() and path.suffix.lower() in FILE_SUFFIXES):
            return path
    other = next((path for path in paths if path.exists()), None)
    guess = closest(name, DATASETS)
    if other is None and not is_url(name):
        fault = f"There is no data set {name!r} here or in the folder {data_dir}."
        fix = f"Available: {', '.join(DATASETS)}, or the path of {DATA_FORMS}."
    else:
        fault, fix = why_no_dataset(name if other is None else str(other)) or (
            f"{other} is no data set. Data are {DATA_FORMS}.",
            f"Available by name: {', '.join(DATASETS)}.",
        )
    raise DatasetError(
        f"{fault}{f' Did you mean {guess!r}?' if guess else ''} {fix}",
        parameter="dataset.name",
        received=name,
        allowed=DATASETS,
        suggestion=guess,
    )


def resolve_data_dir(data_dir: Path | None) -> Path:
    """The folder given, else `VAE_DATA_DIR` of the environment, else `data` here."""
    return data_dir or Path(os.environ.get("VAE_DATA_DIR") or "data")


def at_hand(name: str, *, data_dir: Path | None = None) -> bool:
    """Whether all files of a known set are there, unread."""
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
        republished_under=entry.republished_under,
        about=entry.about,
        class_names=entry.class_names,
    )
    if entry.sha256 is not None and dataset.sha256 != entry.sha256:
        raise DatasetError(
            f"The content of {', '.join(map(str, paths)) or name} is not {name}: its sha256 is "
            f"{dataset.sha256}, not {entry.sha256}. Delete the files and fetch them again.",
            received=dataset.sha256,
            allowed=(entry.sha256,),
        )
    return dataset


def _load_path(
    path: Path,
    console: Console | None,
    *,
    group_by: str | None,
    specs: SpecsAhead,
    recorded: str | None,
    data_dir: Path,
) -> Dataset:
    found: Folder | Arrays | ShardSet
    cache = open_cache(console)
    searched = search(path) if path.is_dir() and not own_folder(path) else None
    shards = None
    if searched is not None or path.suffix.lower() in SHARD_SUFFIXES:
        shards = find_shards(path, searched, cache=cache, console=console)
    if shards is not None:
        found = read_shards(shards, console=console, cache=cache, specs=specs)
        about = shards.about
    elif path.is_dir():
        found = read_folder(path, console=console, cache=cache, found=searched, specs=specs)
        about = _FOLDER
    else:
        found, about = read_arrays(path), "the arrays of a file"
    skipped = () if isinstance(found, Arrays) else found.skipped
    if console is not None and skipped:
        console.print(left_out_table(skipped))
    groups = None
    if group_by is not None:
        groups = find_groups(found.parts, group_by, place=path, data_dir=data_dir)

    def split(*, binds_near_copies: bool) -> Dataset:
        held_out = hold_out(found.parts, groups=groups, binds_near_copies=binds_near_copies)
        splits = (held_out.train, held_out.validation, held_out.test)
        total = sum(map(len, splits))
        train, validation, test = (
            replace(split, kept=KeptLevels(cache, path, name, total))
            if isinstance(split, FileSplit | ArraySplit)
            else split
            for name, split in zip(SPLITS, splits, strict=True)
        )
        return Dataset(
            name=printable(path.resolve().name if path.is_dir() else path.name),
            train=train,
            validation=validation,
            test=test,
            licence=NOT_STATED,
            about=about,
            class_names=found.class_names,
            skipped=skipped,
            warnings=held_out.warnings,
            split_by=held_out.split_by,
        )

    dataset = split(binds_near_copies=True)
    if recorded not in (None, dataset.sha256):
        older = split(binds_near_copies=False)
        dataset = older if older.sha256 == recorded else dataset
    doubtful = (*found.warnings, *dataset.warnings, *doubts(dataset.splits, found.class_names))
    dataset = replace(dataset, warnings=doubtful)
    if console is not None:
        for warning in dataset.warnings:
            console.print(f"Warning: {warning}", soft_wrap=True, markup=False, highlight=False)
    return dataset


def _fetch(name: str, entry: Entry, data_dir: Path, *, download: bool) -> tuple[Source, list[Path]]:
    published = next((source for source in entry.sources if source.url), None)
    if download and published is not None:
        return published, published.download(data_dir)
    missing = ", or ".join(
        f"{', '.join(source.missing(data_dir))} in {data_dir / source.folder}"
        for source in entry.sources
    )
    command = f"vae-lab datasets show {name} --data-dir {data_dir} --download"
    fix = f"Fetch them: {command}" if published is not None else "Put them there by hand"
    raise DatasetError(
        f"Files of {name} are missing: {missing} (gzipped or not). {fix}; or name another folder "
        "with --data-dir or VAE_DATA_DIR.",
        suggestion=command if published is not None else None,
    )
