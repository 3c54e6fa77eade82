"""Digests that are among others."""

import numpy as np
import pytest

from training.data.digests import count_among

RANDOM = np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)


def digests(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


@pytest.mark.parametrize(("own", "others"), [(0, 9), (9, 0), (20, 20)])
def test_digests_among_others_are_those_that_a_set_of_bytes_has(own: int, others: int) -> None:
    some, rest = RANDOM[:own], digests(RANDOM[15 : 15 + others], RANDOM[:others:4])
    known = {one.tobytes() for one in rest}
    assert count_among(some, rest) == sum(one.tobytes() in known for one in some)


def test_each_copy_among_others_counts_and_equal_beginnings_alone_do_not() -> None:
    like = RANDOM[:3].copy()
    like[:, 8:] ^= 1
    assert count_among(digests(like, RANDOM[:3]), RANDOM) == 3
    assert count_among(digests(RANDOM[:3], RANDOM[:3]), digests(like, RANDOM)) == 6
    assert count_among(like, RANDOM) == 0
