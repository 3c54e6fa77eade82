"""Groups of pictures that no split may part: persons, patients, bursts, as the user names them.

`group_by` is the path of a table, `groups.csv`, or else a regular expression that is searched for
in each picture's path: its first capturing group, or the whole match, is the picture's group.
`regex:` before it makes a table's name an expression too.

A path is relative to the data set's folder, or is that of a member of a tar. Pictures in arrays and
in Parquet have no paths.
"""

import csv
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from models.errors import printable
from training.data.split import Split
from training.errors import DatasetError

ENTRY = "dataset.group_by"
NO_GROUP = -1

_PREFIX = "regex:"
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Groups:
    """The group of each picture."""

    names: tuple[str, ...]
    of_parts: Mapping[str, Int64[np.ndarray, " batch"]]
    """For each split that is given: positions in `names`, or `NO_GROUP`."""
    warnings: tuple[str, ...] = ()
    """What is doubtful in them, a sentence or two each."""


def find_groups(
    parts: Mapping[str, Split], group_by: str, *, place: Path, data_dir: Path
) -> Groups:
    """The group of every picture of a data set.

    Args:
        parts: The splits that are given, or all pictures as "train".
        group_by: A table's path, or a regular expression.
        place: The data set's folder or file. A table is looked for as its path is, then there.
        data_dir: Where it is looked for then.

    Raises:
        DatasetError: Pictures have no paths, the expression or the table cannot be read, or none of
            the pictures is in a group.
    """
    paths = {name: [split.path(one) for one in range(len(split))] for name, split in parts.items()}
    every = [path for some in paths.values() for path in some]
    if not all(every):
        raise DatasetError(
            f"The pictures of {place} have no paths that {ENTRY} could group them by: those of "
            "arrays and of Parquet have none. Use a folder of pictures or tar shards, or make "
            "train, validation and test yourself.",
            parameter=ENTRY,
            received=group_by,
        )
    if group_by.startswith(_PREFIX) or not group_by.lower().endswith(".csv"):
        find, doubt = _by_expression(group_by, every), ""
    else:
        find, doubt = _by_table(_find_table(group_by, place, data_dir), every)
    warnings = [doubt] if doubt else []
    of_every = [find(path) for path in every]
    names = tuple(sorted({name for name in of_every if name}))
    number = {name: position for position, name in enumerate(names)}
    if missing := [path for path, name in zip(every, of_every, strict=True) if not name]:
        noun = "picture has" if len(missing) == 1 else "pictures have"
        warnings.append(
            f"{len(missing):,} of {len(every):,} {noun} no group and may be in any split, such as "
            f"{missing[0]!r}."
        )
    of_parts = {
        name: np.array([number.get(find(path), NO_GROUP) for path in some], np.int64)
        for name, some in paths.items()
    }
    return Groups(names, of_parts, tuple(warnings))


def groups_in_two_splits(groups: Groups) -> str:
    """That groups lie in several of the given splits, in words; empty where none does."""
    of_groups: dict[int, list[str]] = {}
    for part, numbers in groups.of_parts.items():
        for number in np.unique(numbers[numbers != NO_GROUP]).tolist():
            of_groups.setdefault(number, []).append(part)
    torn = {number: names for number, names in of_groups.items() if len(names) > 1}
    if not torn:
        return ""
    number, names = next(iter(sorted(torn.items())))
    noun = "group lies" if len(torn) == 1 else "groups lie"
    return (
        f"{len(torn):,} {noun} in more than one of the given splits, such as "
        f"{groups.names[number]!r} in {' and '.join(names)}. Scores then tell less of new groups: "
        "move each into one split."
    )


def _by_expression(group_by: str, paths: Sequence[str]) -> Callable[[str], str]:
    expression = group_by.removeprefix(_PREFIX)
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise DatasetError(
            f"{ENTRY} = {expression!r} is no regular expression: {error}. Write one such as "
            r"'^([^_]+)_', or name a table: groups.csv.",
            parameter=ENTRY,
            received=group_by,
        ) from error

    def find(path: str) -> str:
        found = pattern.search(path)
        return (found[1 if pattern.groups else 0] or "") if found else ""

    if not any(map(find, paths)):
        raise DatasetError(
            f"{ENTRY} = {expression!r} matches no picture's path, such as {paths[0]!r}. Write an "
            "expression whose first capturing group is the picture's group, such as '^([^_]+)_' "
            "for ann_01.jpg, or '^([^/]+)/' for ann/01.jpg.",
            parameter=ENTRY,
            received=group_by,
        )
    return find


def _find_table(group_by: str, place: Path, data_dir: Path) -> Path:
    given = Path(group_by).expanduser()
    inside = place if place.is_dir() else place.parent
    tried = (given, inside / given, data_dir / given, inside / given.name, data_dir / given.name)
    for path in tried:
        if path.is_file():
            return path
    raise DatasetError(
        f"There is no table {group_by} here, in {inside} or in {data_dir}. Write one of two "
        f"columns, path and group, or begin a regular expression with {_PREFIX}",
        parameter=ENTRY,
        received=group_by,
    )


def _by_table(table: Path, paths: Sequence[str]) -> tuple[Callable[[str], str], str]:
    """The group of a path by a table of two columns, and what is doubtful in it."""
    known, found, unknown = set(paths), dict[str, str](), list[str]()
    for line, (written, group) in _read_rows(table):
        path = printable(os.path.normpath(written.strip()))
        name = printable(group.strip())
        if path not in known:
            unknown += [path] if line > 1 else []  # the first line may be a heading
        elif found.setdefault(path, name) != name:
            raise DatasetError(
                f"{table} puts {path!r} into two groups, {found[path]!r} and {name!r} (line "
                f"{line}). Give each picture one group.",
                parameter=ENTRY,
                received=str(table),
            )
    if not any(found.values()):
        says = f", but {unknown[0]!r}" if unknown else ""
        raise DatasetError(
            f"{table} names no picture of the data set, such as {paths[0]!r}{says}. Write rows "
            "of a path, relative to the data set's folder, and a group.",
            parameter=ENTRY,
            received=str(table),
        )
    noun = "row" if len(unknown) == 1 else "rows"
    said = f"{len(unknown):,} {noun} of {table} name no picture of the data set, such as "
    return lambda path: found.get(path, ""), f"{said}{unknown[0]!r}." if unknown else ""


def _read_rows(table: Path) -> list[tuple[int, tuple[str, str]]]:
    """The rows of a table that are not blank, each with its line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        delimiter = next((one for one in _DELIMITERS if one in head), ",")
        reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{table} cannot be read as a table: {error}. Write it as UTF-8, with two columns, "
            "path and group, between commas.",
            parameter=ENTRY,
            received=str(table),
        ) from error
    wrong = next(((line, row) for line, row in rows if len(row) != 2), None)
    if wrong:
        line, row = wrong
        noun = "column" if len(row) == 1 else "columns"
        raise DatasetError(
            f"Line {line} of {table} has {len(row)} {noun}, not two: path and group. Put quotes "
            'around what has a comma: "a, b.jpg",ann.',
            parameter=ENTRY,
            received=str(table),
        )
    return [(line, (row[0], row[1])) for line, row in rows]
