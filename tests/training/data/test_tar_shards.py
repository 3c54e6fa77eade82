"""Tar shards as WebDataset writes them: samples, labels, members left out, and damaged files."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.training.data.pictures import SMALL
from tests.training.data.shard_files import picture, samples, write_tar
from training.data import tar_shards
from training.data.datasets import load
from training.errors import DatasetError


def left_out(path: Path) -> dict[str, str]:
    return {one.path.removeprefix(f"{path.name}/"): one.reason for one in load(str(path)).skipped}


def labels_in(path: Path) -> list[int]:
    """The labels of all pictures."""
    splits = load(str(path)).splits.values()
    return [label for split in splits if split.labels is not None for label in split.labels]


def test_members_of_a_sample_may_lie_apart_and_have_more_than_a_picture(tmp_path: Path) -> None:
    pictures = [(f"a/{seed:03}.jpg", picture(seed, form="JPEG")) for seed in range(20)]
    labels = [(f"a/{seed:03}.cls", b" 7\n") for seed in range(20)]
    others = [("a/000.txt", b"a caption"), ("a/000.npy", b"numbers")]
    path = write_tar(tmp_path / "x.tar", [*pictures, *others, *labels])
    dataset = load(str(path))
    assert dataset.skipped == ()
    assert labels_in(path) == [7] * 20


@pytest.mark.parametrize(
    ("text", "label"), [('{"label": 3}', 3), ('{"cls": 4, "height": 9}', 4), ('{"label": 5.0}', 5)]
)
def test_labels_may_be_members_of_json(text: str, label: int, tmp_path: Path) -> None:
    members = [(f"{seed}.png", picture(seed)) for seed in range(20)]
    members += [(f"{seed}.json", text.encode()) for seed in range(20)]
    assert labels_in(write_tar(tmp_path / "x.tar", members)) == [label] * 20


def test_a_cls_counts_more_than_a_json(tmp_path: Path) -> None:
    members = [*samples(range(20), classes=["6"])]
    members += [(f"{seed:06}.json", b'{"label": 1}') for seed in range(20)]
    assert labels_in(write_tar(tmp_path / "x.tar", members)) == [6] * 20


@pytest.mark.parametrize("text", [b"[1]", b"{}", b'{"label": [1, 2]}', b'{"label": true}'])
def test_json_without_a_label_is_none(text: bytes, tmp_path: Path) -> None:
    members = [*samples(range(20), classes=None), ("000000.json", text)]
    dataset = load(str(write_tar(tmp_path / "x.tar", members)))
    assert dataset.train.labels is None
    assert dataset.warnings == ()


def test_labels_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    members = [*samples(range(20)), ("x.json", b"{"), ("y.cls", b" "), ("z.json", b"\xff")]
    (warning,) = load(str(write_tar(tmp_path / "x.tar", members))).warnings
    assert warning.startswith("3 .cls or .json members are no label.")


def test_what_is_no_picture_of_its_own_is_left_out(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "x.tar",
        [
            *samples(range(20)),
            ("000003.other.png", picture(90)),
            ("._000004.png", b"of a Mac"),
            ("more.tar", b"hello"),
            ("more.tar.gz", b"hello"),
        ],
    )
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "000001.png"
        tar.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert left_out(path) == {
        "000003.other.png": "another picture of a sample that has one",
        "._000004.png": "hidden file",
        "more.tar": "an archive within the archive",
        "more.tar.gz": "an archive within the archive",
        "link.png": "a link or another special member",
    }


def test_a_picture_that_is_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_shards, "_MAX_BYTES", 1_000)
    path = write_tar(tmp_path / "x.tar", [*samples(range(9)), ("b.png", picture(9, side=90))])
    assert left_out(path) == {"b.png": "larger than 1,000 bytes"}


def test_folders_in_a_tar_are_no_classes_and_that_is_said(tmp_path: Path) -> None:
    members = [(f"{seed % 2}/{seed}.png", picture(seed)) for seed in range(20)]
    dataset = load(str(write_tar(tmp_path / "x.tar", members)))
    assert dataset.train.labels is None
    assert dataset.warnings[0].startswith("Folders in a tar are no classes. Add a .cls")


def test_long_names_and_names_that_are_not_unicode_are_said(tmp_path: Path) -> None:
    long = "a" * 200 + "/" + "b" * 120 + ".png"
    path = tmp_path / "x.tar"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(path, "w", format=form, encoding="utf-8") as tar:
            for name, data in [
                *samples(range(20)),
                (long, b"bad"),
                (os.fsdecode(b"caf\xe9.png"), b"bad"),
            ]:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        assert set(left_out(path)) == {long, r"caf\udce9.png"}


def test_a_tar_without_pictures_says_what_is_in_it(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", [("a.txt", b"hello"), ("inner.tar", b"hello")])
    with pytest.raises(
        DatasetError, match=r"no picture .* \(x\.tar/inner\.tar: an archive .*x\.tar/a\.txt: no pic"
    ):
        load(str(path))


def test_an_empty_tar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"x\.tar holds no picture that can be read\. Members"):
        load(str(write_tar(tmp_path / "x.tar", [])))


@pytest.mark.parametrize("size", [700, 20_000, 20_500])
def test_a_tar_that_is_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples(range(30)))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DatasetError, match=r"x\.tar is no whole tar: .*Fetch or write it again"):
        load(str(path))


def test_a_tar_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples(range(30)))
    data = bytearray(path.read_bytes())
    data[20_480:20_580] = bytes(range(100))
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"no whole tar: it is damaged at byte 20,480\."):
        load(str(path))


@pytest.mark.parametrize("data", [b"", b"hello, this is text and no tar" * 50])
def test_another_file_of_that_name_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"x\.tar is no whole tar"):
        load(str(path))


def test_a_compressed_tar_is_refused_with_the_command(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples(range(30)))
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"is compressed, .*mv '.*x\.tar' .* gunzip -k '.*\.gz'"):
        load(str(path))


@pytest.mark.usefixtures("cache_dir")
def test_a_shard_cut_short_after_it_was_listed_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", samples(range(30)))
    dataset = load(str(path))  # changed a moment ago, so without a stamp
    os.truncate(path, 1_000)
    with pytest.raises(DatasetError, match=r"x\.tar"):
        dataset.train.read_levels(SMALL)
