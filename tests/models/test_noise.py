"""Noise is a pure function of (seed, item, purpose, position)."""

import itertools
import threading

import numpy as np
import pytest

from models.errors import InputError
from models.noise import (
    MAX_ITEM,
    MAX_SEED,
    NoiseStream,
    first_uniforms,
    pixel_seed,
    pixel_seeds,
)

PURPOSES = ("posterior", "prior", "likelihood", "binarization", "training", "label")


def test_the_same_key_gives_the_same_numbers():
    first, second = (NoiseStream(7, 3, "posterior").normal(4, 5) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_streams_of_other_seeds_items_and_purposes_are_uncorrelated():
    keys = list(itertools.product((0, 1, 2**62), (0, 1, 256), PURPOSES))
    draws = np.stack([NoiseStream(s, i, p).normal(4000) for s, i, p in keys])
    correlation = np.corrcoef(draws) - np.eye(len(keys))
    # 1431 pairs, each N(0, 1/4000): none beyond 5 standard deviations.
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("sizes", [(1, 1, 998), (333, 667), (1000,)])
def test_chunked_draws_equal_one_draw(kind, sizes):
    whole = NoiseStream(5, 2, "prior").draw(kind, (1000, 3))
    stream = NoiseStream(5, 2, "prior")
    np.testing.assert_array_equal(np.concatenate([stream.draw(kind, (n, 3)) for n in sizes]), whole)


def test_streams_drawn_in_turns_go_on_where_each_ended():
    streams = [NoiseStream(5, item, "prior") for item in range(3)]
    own = [
        np.random.Generator(np.random.Philox(key=np.array([5, item << 8 | 1], np.uint64)))
        for item in range(3)
    ]
    for _ in range(3):
        for stream, generator in zip(streams, own, strict=True):
            np.testing.assert_array_equal(stream.normal(3), generator.standard_normal(3))
            np.testing.assert_array_equal(stream.uniform(2), generator.random(2))


def test_threads_that_draw_at_once_get_the_numbers_that_they_get_alone():
    drawn: dict[int, list[np.ndarray]] = {}

    def draw(item: int) -> None:
        drawn[item] = [NoiseStream(seed, item, "prior").normal(500) for seed in range(50)]

    threads = [threading.Thread(target=draw, args=(item,)) for item in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for item, found in drawn.items():
        for seed, values in enumerate(found):
            np.testing.assert_array_equal(values, NoiseStream(seed, item, "prior").normal(500))


def test_first_uniforms_are_those_of_a_stream_of_each_seed():
    seeds = [0, 7, MAX_SEED]
    alone = [NoiseStream(seed, 0, "binarization").uniform(3, 4) for seed in seeds]
    np.testing.assert_array_equal(first_uniforms(seeds, "binarization", (3, 4)), alone)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_few_samples_are_a_prefix_of_many(kind):
    few = NoiseStream(1, 0, "prior").draw(kind, (16, 7))
    many = NoiseStream(1, 0, "prior").draw(kind, (64, 7))
    np.testing.assert_array_equal(few, many[:16])


def test_normals_are_standard_and_uniforms_fill_the_unit_interval():
    normal = NoiseStream(0, 0, "posterior").normal(100_000)
    uniform = NoiseStream(0, 0, "posterior").uniform(100_000)
    assert abs(normal.mean()) < 4 / np.sqrt(1e5)
    assert abs(normal.var() - 1) < 4 * np.sqrt(2 / 1e5)
    assert abs(uniform.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 1e5)
    assert uniform.min() >= 0
    assert 0.9999 < uniform.max() < 1


GOLDEN = [
    (
        0,
        0,
        "posterior",
        [0.15929546600623282, -1.7741885208017214, 1.3265118818830892],
        [0.011546754286331562, 0.24154919656271812, 0.11142585551493822],
    ),
    (
        1,
        0,
        "prior",
        [0.5250186078850699, -1.1376741827592047, -0.6392909405322572],
        [0.0751511510959112, 0.9837951334859096, 0.9474135472691851],
    ),
    (
        MAX_SEED,
        MAX_ITEM,
        "likelihood",
        [1.513963823429348, 2.2198378880486156, 0.8543647060705224],
        [0.07747308979795231, 0.2362775197029885, 0.3454983976803093],
    ),
    (
        42,
        9,
        "binarization",
        [-0.6644512042525834, -0.31867239605088193, -0.4434938096091074],
        [0.5742704197540154, 0.8965778988183964, 0.03471578429977096],
    ),
    (
        42,
        9,
        "training",
        [0.9350004996546473, 0.6397306232431451, 1.2149233280332605],
        [0.08185512983979426, 0.5429460643516465, 0.8061231113928135],
    ),
]


@pytest.mark.parametrize(("seed", "item", "purpose", "normal", "uniform"), GOLDEN)
def test_the_numbers_are_those_of_every_published_result(seed, item, purpose, normal, uniform):
    assert NoiseStream(seed, item, purpose).normal(3).tolist() == normal
    assert NoiseStream(seed, item, purpose).uniform(3).tolist() == uniform


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(InputError, match=rf"seed={seed} is out of range. Allowed: 0 to 2\^63-1"):
        NoiseStream(seed, 0, "prior")


@pytest.mark.parametrize("item", [-1, MAX_ITEM + 1])
def test_an_item_out_of_range_is_refused(item):
    with pytest.raises(InputError, match=rf"Item {item} is out of range. Allowed: 0 to 2\^56-1"):
        NoiseStream(0, item, "prior")


def test_the_seed_of_a_picture_is_pinned():
    assert pixel_seed(np.arange(6, dtype=np.uint8).reshape(2, 3)) == 6084524197566063198
    assert pixel_seed(np.linspace(0, 1, 4, dtype=np.float32)) == 8675357963881939321


def test_the_seeds_of_a_batch_are_those_of_its_pictures():
    pictures = np.arange(24, dtype=np.uint16).reshape(4, 2, 3)
    assert pixel_seeds(pictures) == [pixel_seed(picture) for picture in pictures]


def test_the_seed_of_a_picture_lies_in_the_range_of_seeds():
    seeds = [pixel_seed(np.array([i], np.uint16)) for i in range(200)]
    assert all(0 <= s <= MAX_SEED for s in seeds)
    assert max(seeds) > MAX_SEED // 2


def test_the_seed_of_a_picture_sees_the_values_and_not_the_memory_layout():
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    same = [
        np.asfortranarray(pixels),
        pixels.astype(">u2"),
        np.repeat(pixels, 2, axis=1)[:, ::2],
    ]
    assert {pixel_seed(p) for p in same} == {pixel_seed(pixels)}


def test_the_seed_of_a_picture_changes_with_any_pixel_the_shape_and_the_dtype():
    pixels = np.zeros((4, 4), np.uint8)
    one_more = [pixels.copy() for _ in range(16)]
    for i, changed in enumerate(one_more):
        changed.flat[i] = 1
    others = [*one_more, pixels.reshape(2, 8), pixels.astype(np.int8), pixels.astype(np.float32)]
    assert len({pixel_seed(p) for p in [pixels, *others]}) == 20
