"""Near-copies are found as a comparison of every pair finds them, and nothing else is."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tests.training.data.scenes import as_jpeg, brightened, cropped, scene
from training.data import near_copies as module
from training.data.looks import LENGTH, NORM, Looks, look_at
from training.data.near_copies import MAX_DISTANCE, join, near_copies


def looks_of(*pictures: Image.Image) -> Looks:
    each = [np.asarray(picture.convert("RGB")).transpose(2, 0, 1)[None] for picture in pictures]
    return np.concatenate([look_at(one, white=255) for one in each])


def groups_of(looks: Looks) -> list[int]:
    found = near_copies(looks)
    assert found is not None
    return found.tolist()


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 75": as_jpeg,
    "JPEG 40": lambda picture: as_jpeg(picture, quality=40),
    "half as large": lambda picture: picture.resize((48, 48)),
    "of another aspect": lambda picture: picture.resize((200, 150)),
    "larger than is looked at": lambda picture: picture.resize((777, 1_301)),
    "brighter": brightened,
    "darker": lambda picture: picture.point(lambda level: int(level * 0.8)),
    "grey": lambda picture: picture.convert("L"),
    "cropped": cropped,
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_is_near_its_picture(change: Callable[[Image.Image], Image.Image]) -> None:
    pictures = [scene(seed) for seed in range(20)]
    found = groups_of(looks_of(*pictures, *map(change, pictures)))
    assert found == [*range(20), *range(20)]


def test_different_pictures_are_apart() -> None:
    found = groups_of(looks_of(*(scene(seed) for seed in range(300))))
    assert found == list(range(300))


def test_a_mirrored_or_turned_picture_is_another_one() -> None:
    picture = scene(0)
    changed = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90)
    found = groups_of(looks_of(picture, *map(picture.transpose, changed)))
    assert found == [0, 1, 2]


@pytest.mark.parametrize("noise", [0, 2])
def test_plain_pictures_have_no_look_and_stand_alone(noise: int) -> None:
    pixels = 128 + np.random.default_rng(0).integers(0, noise + 1, (9, 1, 40, 30), dtype=np.uint8)
    found = look_at(pixels.astype(np.uint8), white=255)
    assert not found.any()
    assert groups_of(found) == list(range(9))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 3), (600, 2)])
def test_pictures_of_any_size_have_a_look(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, *shape), dtype=np.uint8)
    assert look_at(pixels, white=255).shape == (4, LENGTH)


def test_the_scale_of_numbers_does_not_matter() -> None:
    pixels = np.asarray(scene(0).convert("L"))[None, None]
    looks = [
        look_at(pixels, white=255),
        look_at(pixels.astype(np.uint16) * 257, white=65_535),
        look_at(pixels.astype(np.float32) / 255, white=1),
    ]
    assert groups_of(np.concatenate(looks)) == [0, 0, 0]


def test_the_look_is_the_low_frequencies_of_scipy() -> None:
    from scipy.fft import dctn

    grey = np.random.default_rng(0).integers(0, 256, (64, 96)).astype(np.float64)
    low = dctn(grey.reshape(32, 2, 32, 3).mean((1, 3)), norm="ortho")[:8, :8].reshape(-1)[1:]
    found = look_at(grey[None, None], white=255)[0].view(np.int8)
    assert np.abs(found - 127 * low / np.linalg.norm(low)).max() <= 0.51


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_pairs_are_those_that_a_comparison_of_all_finds(spread: float) -> None:
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(6, LENGTH))
    vectors = generator.normal(size=(600, 6)) @ directions + spread
    vectors[300:] = (
        vectors[:300] + generator.normal(size=(300, LENGTH)) * np.linspace(0, 0.6, 300)[:, None]
    )
    scaled = vectors * (NORM / np.linalg.norm(vectors, axis=1, keepdims=True))
    looks = np.rint(scaled).astype(np.int8).view(np.uint8)
    values = looks.view(np.int8).astype(float)
    apart = np.linalg.norm(values[:, None] - values[None], axis=-1)
    one, other = np.nonzero(apart <= NORM * MAX_DISTANCE)
    wanted = connected_components(coo_matrix((np.ones(len(one)), (one, other)), (600, 600)))[1]
    found = near_copies(looks)
    assert found is not None
    assert len(np.unique(np.stack([found, wanted]), axis=1)[0]) == len(np.unique(wanted))
    assert len(np.unique(found)) == len(np.unique(wanted))
    assert 20 < len(np.unique(found)) < 590


def test_too_many_pictures_alike_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = looks_of(*(scene(seed) for seed in range(20)))
    monkeypatch.setattr(module, "MOST_COMPARED", 5)
    assert near_copies(looks) is None


def test_components_are_joined_along_chains() -> None:
    first, second = np.array([[5, 3, 8, 1, 7], [3, 9, 5, 7, 1]])
    assert join(10, first, second).tolist() == [0, 1, 2, 3, 4, 3, 6, 1, 3, 3]
    chain = np.random.default_rng(0).permutation(1_000)
    assert not join(1_000, chain[1:], chain[:-1]).any()


def test_nothing_is_joined_where_there_is_nothing() -> None:
    assert groups_of(np.zeros((0, LENGTH), np.uint8)) == []
