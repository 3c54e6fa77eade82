"""Which pictures no split may part: exact copies, near-copies, and groups that the user names."""

from dataclasses import dataclass

import numpy as np

from training.data.digests import Digests, keys
from training.data.groups import NO_GROUP, Groups
from training.data.looks import Looks
from training.data.near_copies import CLOSE, Numbers, join, near_copies
from training.data.split import Split

_FEWEST = 8
"""Groups that a split needs; so many pictures may be near-copies in the smallest set."""


@dataclass(frozen=True)
class Bonds:
    """What must stay together."""

    of_each: Numbers
    """For each picture, the position of the one that it must be beside: its own or another's."""
    num_near: int = 0
    """Distinct pictures that have a near-copy among the others."""
    warnings: tuple[str, ...] = ()
    """What is doubtful, a sentence or two each."""


def find_bonds(train: Split, groups: Groups | None, *, binds_near_copies: bool) -> Bonds:
    """Find the pictures that must stay together.

    Args:
        train: The pictures that a split is taken from.
        groups: The groups that the user names.
        binds_near_copies: Whether near-copies stay together.
    """
    digests = train.digests
    _, first, copy_of = np.unique(keys(digests), return_index=True, return_inverse=True)
    own = np.arange(len(first))
    named = own if groups is None else _join_groups(groups.of_parts["train"], copy_of, own)

    def bonds(component: Numbers, near: Numbers = own, *said: str) -> Bonds:
        of_each = first[_representative(component, digests[first])][copy_of]
        return Bonds(of_each, int((_sizes(near) > 1).sum()), said)

    if not binds_near_copies:
        return bonds(named)
    near = _near_copies(train.looks[first])
    if near is None:
        return bonds(
            named,
            own,
            f"So many of {len(first):,} pictures are alike that near-copies are not looked for, "
            "and splits may part them.",
        )
    too_many = _sizes(near) > max(len(first) // 10, _FEWEST)
    largest, near = int(_sizes(near).max()), np.where(too_many, own, near)
    said = []
    if too_many.any():
        said.append(
            f"{largest:,} of {len(first):,} pictures are so much alike that they would be one "
            "group, so splits may part them. If they are frames of videos or bursts, name these "
            "with --group-by, or dataset.group_by in a recipe."
        )
    both = join(len(own), np.concatenate([own, own]), np.concatenate([named, near]))
    if groups is None and len(np.unique(both)) < _FEWEST:
        return bonds(named)
    linked = int(_sizes(both).max())
    if groups is not None and linked > max(int(_sizes(named).max()), len(own) // 4):
        said.append(
            f"Near-copies link groups, so that {linked:,} pictures would be one: groups are kept "
            "whole, and near-copies are not kept together. Look for one person or burst under "
            "several names."
        )
        return bonds(named, own, *said)
    return bonds(both, near, *said)


def _near_copies(looks: Looks) -> Numbers | None:
    """Groups of near-copies, those of large groups closer; None where too many are alike."""
    near = near_copies(looks)
    if near is None:
        return near_copies(looks, distance=CLOSE)
    large = np.flatnonzero(_sizes(near) > max(len(looks) // 100, _FEWEST))
    closer = near_copies(looks[large], distance=CLOSE)
    near[large] = large if closer is None else large[closer]
    return near


def _join_groups(codes: Numbers, copy_of: Numbers, own: Numbers) -> Numbers:
    """Join the distinct pictures of each group, and groups that hold the same one."""
    member = np.flatnonzero(codes != NO_GROUP)
    _, start, group = np.unique(codes[member], return_index=True, return_inverse=True)
    return join(len(own), copy_of[member], copy_of[member[start][group]])


def _sizes(component: Numbers) -> Numbers:
    """The number of members of each one's component."""
    sizes: Numbers = np.bincount(component, minlength=len(component))[component]
    return sizes


def _representative(component: Numbers, digests: Digests) -> Numbers:
    """The member of each one's component with the smallest end of its digest.

    The beginning says where it is among all, so that large components are at no other places.
    """
    ends = digests[:, -8:].copy().view(">u8")[:, 0]
    order = np.lexsort((ends, component))
    _, start = np.unique(component[order], return_index=True)
    member = np.empty(len(component), np.int64)
    member[component[order][start]] = order[start]
    found: Numbers = member[component]
    return found
