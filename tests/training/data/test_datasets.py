"""Splits, digests and messages of the data sets, on digits and on files made here."""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data import standard_splits
from training.data.array_split import ArraySplit
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset, at_hand, load
from training.errors import DatasetError

DATA_DIR = os.environ.get("VAE_DATA_DIR")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, dtype=">u4").tobytes()
    return header + array.tobytes()


@pytest.fixture
def unknown_content(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets small files stand for the set of that name."""

    def accept(name: str) -> None:
        monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], sha256=None))

    return accept


@pytest.fixture
def small_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unknown_content: Callable[[str], None]
) -> Path:
    """60 + 10 images of noise in the layout of MNIST, of which the last 5 are for validation."""
    unknown_content("mnist")
    monkeypatch.setattr(standard_splits, "NUM_VALIDATION", 5)
    generator = np.random.default_rng(0)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem, count in (("train", 60), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_digits_need_no_files_and_have_their_counts() -> None:
    digits = load("digits")
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1197, 300, 300]


def test_digits_are_levels_0_to_16() -> None:
    digits = load("digits")
    assert digits.train.images.dtype == np.uint8
    assert (digits.train.images.min(), digits.train.images.max()) == (0, 16)
    assert digits.statistics.levels == np.count_nonzero(digits.statistics.histogram) == 17
    assert set(digits.statistics.sizes) == {(8, 8)}


def test_splits_of_digits_share_no_image() -> None:
    digits = load("digits")
    seen = [
        {image.tobytes() for image in split.images}
        for split in (digits.train, digits.validation, digits.test)
    ]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 1797


def test_every_split_of_digits_has_every_label() -> None:
    digits = load("digits")
    for split in (digits.train, digits.validation, digits.test):
        assert split.labels is not None
        assert set(split.labels) == set(range(10))
        assert split.labels.dtype == np.int64


def test_digest_changes_with_one_pixel_and_with_the_labels() -> None:
    images = np.zeros((2, 3, 3), dtype=np.uint8)
    other = images.copy()
    other[1, 2, 2] = 1
    labels = np.zeros(2, dtype=np.int64)
    blank = ArraySplit(images)
    digests = {
        Dataset("a", train, blank, blank, licence="").sha256
        for train in (
            blank,
            ArraySplit(other),
            ArraySplit(images, labels),
            ArraySplit(images, labels + 1),
        )
    }
    assert len(digests) == 4


def test_digest_does_not_depend_on_the_memory_layout() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    blank = ArraySplit(images[:1])
    turned = ArraySplit(np.asfortranarray(images))
    first = Dataset("a", ArraySplit(images), blank, blank, licence="").sha256
    assert Dataset("a", turned, blank, blank, licence="").sha256 == first


def test_idx_sets_keep_the_last_training_images_for_validation(small_mnist: Path) -> None:
    mnist = load("mnist", data_dir=small_mnist)
    assert [len(mnist.train), len(mnist.validation), len(mnist.test)] == [55, 5, 10]
    assert mnist.validation.labels is not None
    assert mnist.validation.labels.tolist() == [5, 6, 7, 8, 9]


def test_files_may_lie_flat(small_mnist: Path) -> None:
    nested = load("mnist", data_dir=small_mnist).sha256
    assert load("mnist", data_dir=small_mnist / "mnist").sha256 == nested


def test_data_dir_comes_from_the_environment(
    small_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", str(small_mnist))
    assert at_hand("mnist")
    assert len(load("mnist").test) == 10


def test_npz_and_amat_give_the_same_static_mnist(
    tmp_path: Path, unknown_content: Callable[[str], None]
) -> None:
    unknown_content("mnist-static")
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.integers(0, 2, (count, 784), dtype=np.uint8)
        for name, count in (("train", 5), ("valid", 2), ("test", 3))
    }
    for kind in ("npz", "amat"):
        (tmp_path / kind).mkdir()
    np.savez(tmp_path / "npz/binarized_mnist.npz", **arrays)
    for name, rows in arrays.items():
        text = "".join(" ".join(map(str, row)) + " \n" for row in rows)
        path = tmp_path / f"amat/binarized_mnist_{name}.amat.gz"
        path.write_bytes(gzip.compress(text.encode()))
    from_npz = load("mnist-static", data_dir=tmp_path / "npz")
    from_amat = load("mnist-static", data_dir=tmp_path / "amat")
    assert from_npz.sha256 == from_amat.sha256
    assert np.array_equal(from_npz.test.images.reshape(3, 784), arrays["test"])


def test_unknown_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"no data set 'minst'.*digits, mnist-static") as caught:
        load("minst")
    assert "Did you mean 'mnist'?" in str(caught.value)
    assert caught.value.details["suggestion"] == "mnist"
    assert caught.value.details["allowed"] == list(DATASETS)


def test_a_path_is_looked_for_as_it_is_then_in_the_data_folder_then_there_by_its_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3), dtype=np.uint8)
    for number, folder in enumerate(
        (tmp_path / "here", tmp_path / "data" / "sub", tmp_path / "new")
    ):
        folder.mkdir(parents=True)
        np.save(folder / "some.npy", images + np.uint8(number))
    monkeypatch.chdir(tmp_path / "here")
    found = [
        load(name, data_dir=tmp_path / data_dir).sha256
        for name, data_dir in [
            ("some.npy", "data"),
            ("sub/some.npy", "data"),
            (str(tmp_path / "gone" / "some.npy"), "new"),
        ]
    ]
    wanted = [load(str(path)).sha256 for path in sorted(tmp_path.rglob("some.npy"))]
    assert len(set(found)) == 3
    assert set(found) == set(wanted)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("nothing", "no data set .*nothing' here or in"), ("notes.txt", "notes.txt is no data set")],
)
def test_a_path_to_nothing_of_use_says_what_is_taken(name: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match=rf"{fault}.*a folder of pictures, an \.npz or an \.npy"):
        load(str(tmp_path / name), data_dir=tmp_path)


def test_a_known_name_wins_over_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits").test) == 300
    with pytest.raises(DatasetError, match="digits holds no picture that can be read"):
        load("./digits")


def test_missing_files_are_named_with_their_folder_and_remedy(tmp_path: Path) -> None:
    assert not at_hand("mnist", data_dir=tmp_path)
    with pytest.raises(DatasetError) as caught:
        load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert "train-images-idx3-ubyte" in message
    assert str(tmp_path / "mnist") in message
    assert f"vae-lab datasets show mnist --data-dir {tmp_path} --download" in message


def test_only_the_files_that_are_missing_are_named(small_mnist: Path) -> None:
    (small_mnist / "mnist/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match=r"missing: t10k-labels-idx1-ubyte in .*mnist \(gzip"):
        load("mnist", data_dir=small_mnist)


def test_set_without_a_publisher_is_not_offered_for_download(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="by hand") as caught:
        load("mnist-static", data_dir=tmp_path, download=True)
    assert "--download" not in str(caught.value)


def test_other_content_under_a_known_name_is_refused(tmp_path: Path) -> None:
    arrays = {name: np.zeros((1, 784), dtype=np.uint8) for name in ("train", "valid", "test")}
    np.savez(tmp_path / "binarized_mnist.npz", **arrays)
    with pytest.raises(
        DatasetError, match=r"binarized_mnist.npz is not mnist-static: .*not d02ebecf"
    ):
        load("mnist-static", data_dir=tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not idx at all", b"\x1f\x8b\x08\x00cut"])
def test_damaged_idx_file_is_named(small_mnist: Path, damage: bytes) -> None:
    path = small_mnist / "mnist/t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage)
    with pytest.raises(DatasetError, match="t10k-images-idx3-ubyte"):
        load("mnist", data_dir=small_mnist)


def test_idx_file_of_another_length_than_it_promises_is_refused(small_mnist: Path) -> None:
    path = small_mnist / "mnist/train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"train-labels.* says \(60,\), 60 bytes, and 59"):
        load("mnist", data_dir=small_mnist)


def test_npz_that_would_unpickle_is_refused(tmp_path: Path) -> None:
    objects = np.array([{}], dtype=object)
    np.savez(tmp_path / "binarized_mnist.npz", train=objects, valid=objects, test=objects)
    with pytest.raises(DatasetError, match="pickle"):
        load("mnist-static", data_dir=tmp_path)


def test_npz_without_the_arrays_is_refused_with_those_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "binarized_mnist.npz", train=np.zeros((1, 784)), held_out=np.zeros(1))
    with pytest.raises(DatasetError, match="lacks valid, test; it holds train, held_out"):
        load("mnist-static", data_dir=tmp_path)


def test_amat_with_another_number_is_refused(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        (tmp_path / f"binarized_mnist_{name}.amat").write_text("0 2 " * 392)
    with pytest.raises(
        DatasetError, match=r"train\.amat .* row 0 .* other than 0 and 1 in column 1 "
    ):
        load("mnist-static", data_dir=tmp_path)


def test_download_fetches_checks_and_keeps_the_files(
    small_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = tmp_path / "published"
    published.mkdir()
    (source,) = DATASETS["mnist"].sources
    for name in source.files:
        path = next((small_mnist / "mnist").glob(f"{name}*"))
        (published / f"{name}.gz").write_bytes(path.read_bytes())
    digests = tuple(
        hashlib.md5((published / f"{name}.gz").read_bytes()).hexdigest() for name in source.files
    )
    fetched: list[str] = []

    def retrieve(url: str, *, known_hash: str, fname: str, path: Path) -> str:
        content = (published / fname).read_bytes()
        if known_hash != f"md5:{hashlib.md5(content).hexdigest()}":
            raise ValueError("MD5 hash of downloaded file does not match the known hash")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(content)
        fetched.append(url)
        return str(path / fname)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    local = replace(source, url="https://example.org/", md5=digests)
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], sources=(local,)))
    target = tmp_path / "fresh"
    assert len(load("mnist", data_dir=target, download=True).test) == 10
    assert fetched == [f"https://example.org/{name}.gz" for name in source.files]
    assert at_hand("mnist", data_dir=target)

    monkeypatch.setitem(
        DATASETS, "mnist", replace(DATASETS["mnist"], sources=(replace(local, md5=("0",) * 4),))
    )
    with pytest.raises(DatasetError, match="by hand"):
        load("mnist", data_dir=tmp_path / "other", download=True)


def test_cifar10_is_read_from_its_binary_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standard_splits, "NUM_VALIDATION", 2)
    path = tmp_path / "cifar-10-binary.tar.gz"
    red_top_left = np.zeros((3, 32, 32), dtype=np.uint8)
    red_top_left[0, 0, 0] = 255
    with tarfile.open(path, "w:gz") as archive:
        for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            content = bytes([number]) + red_top_left.tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    cifar = load("cifar10", data_dir=tmp_path)
    assert set(cifar.statistics.sizes) == {(32, 32)}
    assert cifar.statistics.colour_share == 1
    assert cifar.test.images[0, 0, 0].tolist() == [255, 0, 0]
    assert [part.labels.tolist() for part in (cifar.train, cifar.validation, cifar.test)] == [
        [0, 1, 2],
        [3, 4],
        [5],
    ]


def test_truncated_cifar10_archive_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz"):
        pass
    with pytest.raises(DatasetError, match="cifar-10-binary"):
        load("cifar10", data_dir=tmp_path)


def test_no_character_of_omniglot_is_in_two_splits(tmp_path: Path) -> None:
    characters = np.repeat(np.arange(100, dtype=np.int16), 2)
    path = tmp_path / "omniglot.npz"
    np.savez(path, images=np.zeros((200, 32, 32), dtype=np.uint8), character=characters)
    parts = [set(part.labels.tolist()) for part in standard_splits.split_omniglot([path])]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 100
    assert len(parts[0]) > 60


def test_crops_of_one_photograph_of_bccd_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "bccd.npz"
    np.savez(
        path,
        images=np.arange(5, dtype=np.uint8).reshape(5, 1, 1).repeat(3, axis=2),
        labels=np.zeros(5, dtype=np.uint8),
        image_index=np.array([0, 1, 1, 2, 0], dtype=np.int16),
        image_split=np.array([2, 0, 1], dtype=np.uint8),
    )
    parts = standard_splits.split_bccd([path])
    assert [part.images[:, 0, 0].tolist() for part in parts] == [[1, 2], [3], [0, 4]]


def test_frey_faces_are_split_in_the_order_of_the_video(tmp_path: Path) -> None:
    path = tmp_path / "frey.npz"
    frames = (np.arange(410) // 2).astype(np.uint8).reshape(410, 1, 1)
    np.savez(path, images=frames)
    train, validation, test = standard_splits.split_frey_faces([path])
    assert [len(train), len(validation), len(test)] == [10, 200, 200]
    assert np.array_equal(np.concatenate([train.images, validation.images, test.images]), frames)


@pytest.mark.skipif(DATA_DIR is None, reason="the real data are found by VAE_DATA_DIR, not set")
@pytest.mark.parametrize("name", list(DATASETS))
def test_real_data_have_their_published_content(name: str) -> None:
    if not at_hand(name):
        pytest.skip(f"the files of {name} are not in {DATA_DIR}")
    entry = DATASETS[name]
    dataset = load(name)
    assert dataset.sha256 == entry.sha256
    channels, height, width = entry.image_shape
    assert set(dataset.statistics.sizes) == {(height, width)}
    assert (channels == 3) == (dataset.statistics.num_colour > 0)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == entry.counts
    assert dataset.train.images.max() < dataset.statistics.levels
