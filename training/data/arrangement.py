"""Splits and classes that the folders of pictures mean. Reads no file.

Labels come from the training pictures: a class is a folder of theirs. A held-out split whose
folders are no classes of train has no labels, and a held-out picture of another class is left out.
Whatever is taken in another way than its folder's name says, is said in a warning.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from training.data.make_splits import PARTS
from training.data.split import Labels

Place = tuple[str, ...]
"""Names of the folders between the pictures' common folder, or a split's, and a picture."""

_NAMED = 5


class PictureFile(NamedTuple):
    """A picture by its path."""

    path: Path
    row: int
    """Its row among all pictures."""


@dataclass(frozen=True)
class Labelled:
    """The pictures of a split by their rows, and their labels."""

    rows: Int64[np.ndarray, " picture"]
    labels: Labels | None = None


@dataclass
class Arrangement:
    """Splits, names of classes, pictures left out with the reason, and warnings."""

    parts: dict[str, Labelled] = field(default_factory=dict)
    """The given splits, or all pictures as "train"."""
    class_names: tuple[str, ...] = ()
    outside: dict[Path, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def leave_out(self, files: Iterable[PictureFile], reason: str) -> None:
        """Leave pictures out for a reason."""
        self.outside.update((file.path, reason) for file in files)


@dataclass(frozen=True)
class _Part:
    """The pictures of a split, and the folders of each below the split's own."""

    name: str
    folder: Path
    files: tuple[PictureFile, ...]
    places: tuple[Place, ...]
    """Below `folder`."""

    @property
    def tops(self) -> list[str]:
        """Names of the outermost folders, sorted."""
        return sorted({place[0] for place in self.places if place})

    def without_common_folders(self, known: Sequence[str] = ()) -> "_Part":
        """The same, without folders around all pictures; a known class is not left away."""
        part, alike = self, {_key(name) for name in known}
        while len(tops := part.tops) == 1 and () not in part.places and _key(tops[0]) not in alike:
            below = tuple(place[1:] for place in part.places)
            part = replace(part, folder=part.folder / tops[0], places=below)
        return part


def arrange(files: Sequence[PictureFile], *, root: Path, folders: Sequence[Path]) -> Arrangement:
    """Find the splits and the classes of pictures by their folders.

    Args:
        files: The pictures, in the order of the splits.
        root: The data set's folder.
        folders: Every folder that was looked into, with pictures or without.
    """
    found = Arrangement()
    parts = _split(files, found)
    train = parts["train"].without_common_folders()
    if len(parts) > 1 and len(parts["train"].tops) == 1 and not train.tops:
        found.warnings.append(
            f"The pictures of train are all in one folder, {_listed(parts['train'].tops)}, so they "
            "have no labels. Classes are at least two folders."
        )
    _label_train(train, found, is_whole=len(parts) == 1)
    held_out = [
        part.without_common_folders(found.class_names)
        for name, part in parts.items()
        if name != "train"
    ]
    for part in held_out:
        _label_held_out(part, found, given=parts[part.name].tops)
    looked_at = {part.folder for part in (train, *parts.values(), *held_out)}
    found.warnings += _empty_folders(files, root, folders, looked_at)
    return found


# Splits


def _split(files: Sequence[PictureFile], found: Arrangement) -> dict[str, _Part]:
    """The given splits; all pictures as "train" where none are given."""
    around = [os.path.dirname(file.path) for file in files]
    base = Path(os.path.commonpath(set(around)))
    place_of = {folder: Path(folder).relative_to(base).parts for folder in set(around)}
    places = [place_of[folder] for folder in around]
    tops = sorted({place[0] for place in places if place})
    inner = sorted({place[1] for place in places if len(place) > 1})
    if len(tops) == 1 and () in places and _exact_splits(inner):
        _leave_out_around(files, places, found, tops[0])
        return _split([file for file, place in zip(files, places, strict=True) if place], found)
    splits = _exact_splits(tops)
    if not splits and (splits := _likely_splits(tops)):
        said = ", ".join(f"{top} as {part}" for top, part in sorted(splits.items()))
        found.warnings.append(
            f"The folders are read as splits: {said}. Rename them if they are classes."
        )
    if not splits:
        _warn_of_names(tops, found)
        if len(tops) > 1 and (below := _exact_splits(inner)):
            found.warnings.append(
                f"The folders {_listed(sorted(below))} lie below the classes and are no splits: "
                "pictures are split by content hash. Put the classes into train, val and test "
                "instead: train/<class>."
            )
        return {"train": _Part("train", base, tuple(files), tuple(places))}
    part_of = [splits.get(place[0], "") if place else "" for place in places]
    outside = [file for file, part in zip(files, part_of, strict=True) if not part]
    found.leave_out(outside, "outside train, val and test")
    parts = {}
    for name in dict.fromkeys(part for part in part_of if part):
        chosen = [position for position, part in enumerate(part_of) if part == name]
        parts[name] = _Part(
            name,
            base / places[chosen[0]][0],
            tuple(files[position] for position in chosen),
            tuple(places[position][1:] for position in chosen),
        )
    return parts


def _exact_splits(tops: Iterable[str]) -> dict[str, str]:
    """The split of each folder that is named like one; empty without train and another."""
    splits = {top: PARTS[top.lower()] for top in tops if top.lower() in PARTS}
    return splits if {"train"} < set(splits.values()) else {}


def _likely_splits(tops: Iterable[str]) -> dict[str, str]:
    """The same where all names have one word of a split: training_set, test_set, val2017."""
    splits = {}
    for top in tops:
        words = {PARTS[word] for word in re.findall("[a-z]+", top.lower()) if word in PARTS}
        if len(words) != 1:
            return {}
        splits[top] = words.pop()
    return splits if {"train"} < set(splits.values()) else {}


def _leave_out_around(
    files: Sequence[PictureFile], places: Sequence[Place], found: Arrangement, inner: str
) -> None:
    outside = [file for file, place in zip(files, places, strict=True) if not place]
    found.leave_out(outside, f"outside the splits in {inner}")


def _warn_of_names(tops: Sequence[str], found: Arrangement) -> None:
    """Say where a folder is called like a split and yet is a class."""
    named = [top for top in tops if top.lower() in PARTS]
    if named and len(tops) > 1:
        found.warnings.append(
            f"Folders counted as classes, not as splits: {_listed(named)}. Given splits are a "
            "folder train beside val or test. Rename what is no class."
        )


# Classes


def _label_train(train: _Part, found: Arrangement, *, is_whole: bool) -> None:
    """Find the classes, and leave out the few training pictures that have none."""
    where, tops = "the folder" if is_whole else "train", train.tops
    with_class = [position for position, place in enumerate(train.places) if place]
    loose = [file for file, place in zip(train.files, train.places, strict=True) if not place]
    if len(tops) < 2 or len(with_class) < len(loose):
        if len(tops) > 1:
            found.warnings.append(
                f"{len(loose):,} of the {len(train.files):,} pictures of {where} lie beside its "
                f"folders {_listed(tops)}, so these are no classes. Move every picture into the "
                "folder of its class for labels."
            )
        found.parts["train"] = Labelled(_rows(train.files))
        return
    if loose:
        found.leave_out(loose, "beside the class folders, and so without a class")
        found.warnings.append(
            f"{_count(loose)} left out, such as {_printable(loose[0].path.name)!r}: {where} has "
            f"the class folders {_listed(tops)}. Move each picture into the folder of its class."
        )
    _warn_of_alike(tops, found)
    found.class_names = tuple(tops)
    labels = np.array([tops.index(train.places[one][0]) for one in with_class], dtype=np.int64)
    found.parts["train"] = Labelled(_rows([train.files[one] for one in with_class]), labels)


def _label_held_out(part: _Part, found: Arrangement, *, given: Sequence[str]) -> None:
    """Label a held-out split by the classes of train, or leave it without labels.

    Args:
        part: The split.
        found: What is known of train; the split is added.
        given: Names of the split's outermost folders, those around all of it too.
    """
    name, tops = part.name, part.tops
    if not found.class_names:
        found.parts[name] = Labelled(_rows(part.files))
        if len(tops) > 1:
            found.warnings.append(
                f"The folders of {name} ({_listed(tops)}) are no labels, since train has no "
                "classes."
            )
        return
    label_of = _match(tops, name, found)
    labels = [label_of.get(place[0]) if place else None for place in part.places]
    known = [position for position, label in enumerate(labels) if label is not None]
    if 2 * len(known) < len(labels):
        where = f"are not in folders of train's classes, but in {_listed(given)}"
        found.warnings.append(
            f"The {name} split has no labels: its pictures "
            f"{where if given else 'are in no folders'}. Make a folder of each class in it: "
            f"{_listed(found.class_names)}."
        )
        found.parts[name] = Labelled(_rows(part.files))
        return
    rest = [
        (file, place)
        for file, place, label in zip(part.files, part.places, labels, strict=True)
        if label is None
    ]
    found.leave_out(
        (file for file, _ in rest), f"of the {name} split and of no class that train has"
    )
    if rest:
        folders = sorted({place[0] for _, place in rest if place}) or ["no folder"]
        found.warnings.append(
            f"{_count(rest)} left out of the {name} split, in {_listed(folders)}: train has no "
            "such class. Add training pictures of it."
        )
    found.parts[name] = Labelled(
        _rows([part.files[one] for one in known]),
        np.array([label for label in labels if label is not None], dtype=np.int64),
    )


def _rows(files: Sequence[PictureFile]) -> Int64[np.ndarray, " picture"]:
    return np.array([file.row for file in files], dtype=np.int64)


def _match(tops: Sequence[str], name: str, found: Arrangement) -> dict[str, int]:
    """The label of each folder of a held-out split: of the same name, or of a name alike."""
    classes = found.class_names
    label_of = {top: classes.index(top) for top in tops if top in classes}
    for top in tops:
        alike = [label for label, one in enumerate(classes) if _key(one) == _key(top)]
        if top not in label_of and len(alike) == 1:
            label_of[top] = alike[0]
            found.warnings.append(
                f"The folder {top!r} of {name} is read as the class {classes[alike[0]]!r} of train."
            )
    return label_of


def _warn_of_alike(names: Sequence[str], found: Arrangement) -> None:
    """Say where two classes may be one, written twice."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_key(name), []).append(name)
    found.warnings.extend(
        f"The classes {_listed(alike)} are kept apart, although their names are nearly the same. "
        "Put their pictures into one folder if they are one class."
        for alike in groups.values()
        if len(alike) > 1
    )


def _key(name: str) -> str:
    """Equal for names that differ in case, blanks or the form of their accents."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


# Folders without pictures


def _empty_folders(
    files: Sequence[PictureFile], root: Path, folders: Sequence[Path], looked_at: set[Path]
) -> Iterator[str]:
    """Say which folders that could be classes or splits hold no picture."""
    around = {os.path.dirname(file.path) for file in files}
    filled = {one for name in around for one in (Path(name), *Path(name).parents)}
    beside = {one for base in looked_at for one in (base, *base.parents)}
    empty = [folder for folder in folders if folder not in filled and folder.parent in beside]
    if empty:
        noun = "folder has" if len(empty) == 1 else "folders have"
        names = _listed([str(folder.relative_to(root)) for folder in empty])
        yield (
            f"{len(empty):,} {noun} no picture that can be read, so it is no class and no split: "
            f"{names}."
        )


# Words


def _listed(names: Sequence[str]) -> str:
    """The first names in quotes, and the number of the others."""
    shown = ", ".join(repr(_printable(name)) for name in names[:_NAMED])
    return shown + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _count(pictures: Sequence[object]) -> str:
    return "1 picture is" if len(pictures) == 1 else f"{len(pictures):,} pictures are"
