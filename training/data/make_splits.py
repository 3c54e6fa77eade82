"""Split a data set by content hash: 80 % train, 10 % validation, 10 % test.

The digests of pictures, seen as numbers in [0, 1), are uniform: below 0.1 is the test split, below
0.2 the validation split, the rest trains. So exact copies, whose digests are one, are in one split,
names and order of files mean nothing, and an added picture moves no other. Only where a held-out
split would have fewer than eight distinct pictures, it takes those with the next digests too, at
most a quarter of all: below about 150 pictures, an added one may move another.

Near-copies (`near_copies.py`) are where one of them is. Groups that the user names are whole: in
the order of a digest of each one's name they go to the held-out split that lacks most, if they
bring it nearer to a tenth of the pictures, and else train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from training.data.bonds import Bonds, find_bonds
from training.data.digests import LENGTH, Digests, keys
from training.data.groups import ENTRY, NO_GROUP, Groups, groups_in_two_splits
from training.data.near_copies import Numbers
from training.data.split import Split
from training.errors import DatasetError

PARTS = {
    **{"train": "train", "training": "train"},
    **{"val": "validation", "valid": "validation", "validation": "validation"},
    "dev": "validation",
    **{"test": "test", "testing": "test"},
}
"""Names of folders and arrays that mean a split, and the split."""

_FEWEST = 8
_TENTH = 2**256 // 10


@dataclass(frozen=True)
class HeldOut:
    """The three splits, and how they were made."""

    train: Split
    validation: Split
    test: Split
    split_by: str
    """How, in words that go on after "Split: "."""
    warnings: tuple[str, ...] = ()


def hold_out(
    parts: Mapping[str, Split], *, groups: Groups | None = None, binds_near_copies: bool = True
) -> HeldOut:
    """Train, validation and test: those not given are taken from train, a tenth each.

    Args:
        parts: The splits that are given, or all pictures as "train".
        groups: What no split that is taken may part.
        binds_near_copies: Whether near-copies are in one split; those of older runs are not.

    Raises:
        DatasetError: Too few distinct pictures, or groups too large.
    """
    warnings = [*groups.warnings] if groups else []
    if groups and (torn := groups_in_two_splits(groups)):
        warnings.append(torn)
    given = [name for name in ("train", "validation", "test") if name in parts]
    missing = [name for name in ("test", "validation") if name not in parts]
    if not missing:
        unused = "; groups are not used for them" if groups else ""
        return HeldOut(
            parts["train"],
            parts["validation"],
            parts["test"],
            f"as the data give them{unused}",
            tuple(warnings),
        )
    train = parts["train"]
    bonds = find_bonds(train, groups, binds_near_copies=binds_near_copies)
    if groups is None:
        chosen = split_by_hash(train.digests[bonds.of_each], len(missing))
    else:
        chosen = split_groups(
            _keys_of_groups(train, bonds, groups),
            len(missing),
            names={_digest(name): name for name in groups.names},
        )
        warnings += _uneven(chosen, missing)
    whole = {
        **parts,
        "train": train.take(chosen[0]),
        **{name: train.take(some) for name, some in zip(missing, chosen[1:], strict=True)},
    }
    said = f"at random by {'content hash' if groups is None else 'group'}"
    if len(given) > 1:
        said = f"{given[1]} as given; {missing[0]} from train {said}"
        said += "; groups are not used for what is given" if groups else ""
    if bonds.num_near:
        said += f"; {bonds.num_near:,} near-copies kept together"
    if groups is not None:
        number = len(np.setdiff1d(groups.of_parts["train"], NO_GROUP))
        said += f"; {number:,} {'group' if number == 1 else 'groups'} kept whole"
    return HeldOut(
        whole["train"],
        whole["validation"],
        whole["test"],
        said,
        (*warnings, *bonds.warnings),
    )


def split_by_hash(digests: Digests, num_held_out: int) -> list[Int64[np.ndarray, " position"]]:
    """Positions of the training pictures, then of each held-out split, ascending.

    Args:
        digests: sha256 of each picture, or of one that it must be beside.
        num_held_out: Splits of a tenth each.

    Raises:
        DatasetError: Fewer than eight distinct pictures.
    """
    of_each = keys(digests)
    distinct = np.unique(of_each)
    most = len(distinct) // 4
    if most < 2:
        noun = "picture" if len(distinct) == 1 else "pictures"
        raise DatasetError(
            f"The data set has {len(distinct)} distinct {noun} ({len(digests)} with copies); a "
            "split by content hash needs at least 8. Add pictures, or make folders or arrays "
            "train, val and test.",
            received=len(distinct),
            limit=8,
        )
    ends = [0]
    for number in range(1, num_held_out + 1):
        tenths = int(np.searchsorted(distinct, np.bytes_((number * _TENTH).to_bytes(32))))
        ends.append(min(max(tenths, ends[-1] + _FEWEST), ends[-1] + most))
    ranks = np.searchsorted(distinct, of_each)
    held_out = [np.flatnonzero((ranks >= first) & (ranks < end)) for first, end in pairwise(ends)]
    return [np.flatnonzero(ranks >= ends[-1]), *held_out]


def split_groups(
    of_each: Digests, num_held_out: int, *, names: Mapping[bytes, str]
) -> list[Int64[np.ndarray, " position"]]:
    """The same of whole groups.

    Args:
        of_each: A digest of each picture's group.
        num_held_out: Splits of a tenth each.
        names: What groups are called, by their digests.

    Raises:
        DatasetError: Too few groups, or the others are too small beside the largest.
    """
    distinct, group_of, sizes = np.unique(keys(of_each), return_inverse=True, return_counts=True)
    split_of = np.zeros(len(distinct), np.int64)
    fewest = min(_FEWEST, max(2, len(of_each) // 4))
    lacks = np.full(num_held_out, max(len(of_each) / 10, fewest))
    for group, size in enumerate(sizes.tolist()):
        most = int(lacks.argmax())
        if size < 2 * lacks[most]:
            split_of[group] = most + 1
            lacks[most] -= size
    for part in range(1, num_held_out + 1):  # where groups are large
        while sizes[split_of == part].sum() < fewest and (split_of == 0).sum() > 1:
            left = np.flatnonzero(split_of == 0)
            split_of[left[sizes[left].argmin()]] = part
    parts = [np.flatnonzero(split_of[group_of] == part) for part in range(num_held_out + 1)]
    if min(map(len, parts)) < fewest:
        largest = int(sizes.argmax())
        name = names.get(distinct[largest].ljust(LENGTH, b"\0"), "")
        which = f"{name!r}" if name else "of pictures alike"
        raise DatasetError(
            f"The {len(distinct):,} groups of {ENTRY} cannot be held out: the largest, {which}, "
            f"has {sizes[largest]:,} of {len(of_each):,} pictures, and a split would have fewer "
            f"than {fewest}. Make smaller groups, add pictures of others, or make folders train, "
            "val and test.",
            parameter=ENTRY,
            received=len(distinct),
        )
    return parts


def _keys_of_groups(train: Split, bonds: Bonds, groups: Groups) -> Digests:
    """A digest of each picture's group: of its name, or of a picture that is in none."""
    found = train.digests.copy()
    numbers = groups.of_parts["train"]
    member = np.flatnonzero(numbers != NO_GROUP)
    of_names = b"".join(map(_digest, groups.names))
    found[member] = np.frombuffer(of_names, np.uint8).reshape(-1, LENGTH)[numbers[member]]
    of_each: Digests = found[bonds.of_each]
    return of_each


def _digest(name: str) -> bytes:
    return sha256(f"group {name}".encode()).digest()


def _uneven(chosen: Sequence[Numbers], names: Sequence[str]) -> list[str]:
    """Say which held-out splits are far from a tenth, since groups are whole."""
    total = sum(map(len, chosen))
    return [
        f"The {name} split has {len(some) / total:.0%} of the pictures instead of 10%, since "
        "groups are whole. Many small groups split more evenly."
        for name, some in zip(names, chosen[1:], strict=True)
        if not 0.05 <= len(some) / total <= 0.2
    ]
