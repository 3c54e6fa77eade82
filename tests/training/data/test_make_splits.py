"""The split by content hash: names, order and added pictures change nothing."""

import hashlib

import numpy as np
import pytest

from training.data.array_split import ArraySplit
from training.data.make_splits import hold_out, split_by_hash
from training.errors import DatasetError


def digests(count: int, *, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(f"{number}".encode()).digest() for number in range(start, start + count)]


def as_array(found: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 32)


def named(found: list[bytes]) -> dict[bytes, int]:
    """Which part each digest is in: 0 trains, then the held-out ones."""
    return {
        found[position]: part
        for part, positions in enumerate(split_by_hash(as_array(found), 2))
        for position in positions
    }


def test_two_tenths_are_held_out_and_every_picture_is_somewhere() -> None:
    parts = split_by_hash(as_array(digests(10_000)), 2)
    assert [len(part) / 10_000 for part in parts] == pytest.approx([0.8, 0.1, 0.1], abs=0.012)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(10_000))


def test_one_held_out_split_is_a_tenth() -> None:
    assert len(split_by_hash(as_array(digests(10_000)), 1)[1]) == pytest.approx(1_000, abs=120)


def test_added_pictures_move_no_others() -> None:
    before, after = named(digests(200)), named(digests(1_000))
    assert before == {digest: after[digest] for digest in before}


def test_the_order_changes_nothing() -> None:
    assert named(digests(50)) == named(digests(50)[::-1])


def test_exact_copies_never_straddle() -> None:
    found = digests(30) * 3
    for positions in split_by_hash(as_array(found), 2):
        chosen = {found[position] for position in positions}
        assert len(positions) == 3 * len(chosen)


@pytest.mark.parametrize(("count", "fewest"), [(8, 2), (13, 3), (32, 8), (40, 8)])
def test_a_few_pictures_still_give_each_split_some(count: int, fewest: int) -> None:
    for start in range(0, 4_000, count):
        train, *held_out = split_by_hash(as_array(digests(count, start=start)), 2)
        assert all(len(part) >= fewest for part in held_out)
        assert len(train) >= count // 2


@pytest.mark.parametrize("found", [digests(7), digests(7) * 5])
def test_fewer_than_eight_distinct_pictures_are_refused(found: list[bytes]) -> None:
    with pytest.raises(DatasetError, match=f"has 7 distinct pictures .{len(found)} .*at least 8"):
        split_by_hash(as_array(found), 2)


def test_only_what_is_not_given_is_taken_from_train() -> None:
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1)
    given = {"train": ArraySplit(images[:60]), "test": ArraySplit(images[60:])}
    found = hold_out(given)
    assert found.test is given["test"]
    assert len(found.train) + len(found.validation) == 60
    assert len(found.validation) >= 4
    assert found.split_by == "test as given; validation from train at random by content hash"
    whole = {**given, "validation": ArraySplit(images[:5])}
    found = hold_out(whole)
    splits = (found.train, found.validation, found.test)
    assert splits == (whole["train"], whole["validation"], whole["test"])
    assert found.split_by == "as the data give them"
