"""The files of known data sets: found, missing, downloaded, of other content."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.catalogue import DATASETS
from training.data.datasets import at_hand, load
from training.errors import DatasetError

DATA_DIR = os.environ.get("VAE_DATA_DIR")


def test_files_may_lie_flat(small_mnist: Path) -> None:
    nested = load("mnist", data_dir=small_mnist).sha256
    assert load("mnist", data_dir=small_mnist / "mnist").sha256 == nested


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
