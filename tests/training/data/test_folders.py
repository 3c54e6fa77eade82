"""Folders of pictures: classes, given splits, and everything that is no picture."""

import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from models.images import ImageSpec, to_sheet
from tests.training.data.pictures import fill, paths_of, save
from training.data import folders, inspection
from training.data.datasets import Dataset, load
from training.data.folders import read_folder
from training.data.left_out import left_out_table
from training.errors import DatasetError


def named(dataset: Dataset) -> dict[str, str]:
    """Which split each file is in."""
    return {path.name: name for name, split in dataset.splits.items() for path in paths_of(split)}


def reasons(root: Path) -> dict[str, str]:
    return {one.path: one.reason for one in read_folder(root).skipped}


def test_a_plain_folder_has_no_labels_and_three_splits(tmp_path: Path) -> None:
    fill(tmp_path / "photos", 40)
    dataset = load(str(tmp_path / "photos"))
    assert dataset.name == "photos"
    assert dataset.licence == "not stated"
    assert dataset.class_names == ()
    assert dataset.train.labels is None
    assert sum(map(len, dataset.splits.values())) == 40
    assert min(map(len, dataset.splits.values())) >= 4


def test_added_files_move_no_others_and_other_names_change_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 250)
    before = load(str(tmp_path))
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"renamed-{path.name}")
    renamed = load(str(tmp_path))
    assert renamed.sha256 == before.sha256
    fill(tmp_path / "more", 100, start=1_000)
    after = named(load(str(tmp_path)))
    assert all(after[f"renamed-{name}"] == split for name, split in named(before).items())


def test_copies_in_another_format_never_straddle(tmp_path: Path) -> None:
    fill(tmp_path, 30)
    for seed in range(30):
        save(tmp_path / f"copy-{seed}.bmp", seed=seed, form="BMP")
    found = named(load(str(tmp_path)))
    assert all(found[f"{seed}.png"] == found[f"copy-{seed}.bmp"] for seed in range(30))


def test_a_grey_picture_is_the_same_stored_in_colour(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4))
    grey.save(tmp_path / "a.png")
    grey.convert("RGB").save(tmp_path / "b.png")
    split = read_folder(tmp_path).parts["train"]
    assert np.array_equal(*split.digests)
    assert split.statistics.num_colour == 0


def test_transparent_pictures_that_only_black_makes_equal_are_not_copies(tmp_path: Path) -> None:
    for number in (1, 2):
        glyph = np.zeros((4, 4, 4), np.uint8)
        glyph[number, :, 3] = 255
        Image.fromarray(glyph).save(tmp_path / f"{number}.png")
    split = read_folder(tmp_path).parts["train"]
    assert not np.array_equal(*split.digests)
    assert split.statistics.modes == {"RGB, 8 bits, transparent": 2}


def test_class_folders_become_labels_in_sorted_order(tmp_path: Path) -> None:
    fill(tmp_path / "dogs" / "2024", 20)
    fill(tmp_path / "cats", 20, start=20)
    dataset = load(str(tmp_path))
    assert dataset.class_names == ("cats", "dogs")
    for split in dataset.splits.values():
        assert split.labels is not None
        classes = [dataset.class_names[label] for label in split.labels]
        assert all(name in path.parts for name, path in zip(classes, paths_of(split), strict=True))


def test_a_folder_around_all_of_it_counts_for_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "unzipped" / "images", 10)
    assert load(str(tmp_path)).class_names == ()
    fill(tmp_path / "unzipped" / "more", 10, start=10)
    assert load(str(tmp_path)).class_names == ("images", "more")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "valid", "Testing"), ("train", "validation", "TEST")],
)
def test_given_splits_are_kept(tmp_path: Path, train: str, validation: str, test: str) -> None:
    for start, name in enumerate((train, validation, test)):
        for label, class_name in enumerate(("cats", "dogs")):
            fill(tmp_path / name / class_name, 3, start=10 * start + 5 * label)
    dataset = load(str(tmp_path))
    assert dataset.class_names == ("cats", "dogs")
    assert [len(split) for split in dataset.splits.values()] == [6, 6, 6]
    for name, split in dataset.splits.items():
        assert split.labels is not None
        assert sorted(split.labels.tolist()) == [0, 0, 0, 1, 1, 1], name
    assert {seed for seed, split in named(dataset).items() if split == "test"} == {
        f"{seed}.png" for seed in (20, 21, 22, 25, 26, 27)
    }


def test_given_splits_need_no_class_folders(tmp_path: Path) -> None:
    for start, name in enumerate(("train", "val", "test")):
        fill(tmp_path / name, 3, start=10 * start)
    dataset = load(str(tmp_path))
    assert dataset.class_names == ()
    assert [len(split) for split in dataset.splits.values()] == [3, 3, 3]


@pytest.mark.parametrize(("given", "taken"), [("test", "validation"), ("val", "test")])
def test_a_split_that_is_not_given_is_taken_from_train(
    tmp_path: Path, given: str, taken: str
) -> None:
    fill(tmp_path / "train", 40)
    fill(tmp_path / given, 5, start=100)
    splits = load(str(tmp_path)).splits
    assert len(splits["train"]) + len(splits[taken]) == 40
    assert len(splits[taken]) >= 4


def test_pictures_outside_given_splits_are_left_out_and_listed(tmp_path: Path) -> None:
    for start, name in enumerate(("train", "val", "test")):
        fill(tmp_path / name, 3, start=10 * start)
    save(tmp_path / "extra" / "more.png", seed=99)
    assert reasons(tmp_path) == {"extra/more.png": "outside train, val and test"}
    assert sum(map(len, load(str(tmp_path)).splits.values())) == 9


def test_a_class_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    fill(tmp_path / "train", 10)
    fill(tmp_path / "plane", 10, start=10)
    assert load(str(tmp_path)).class_names == ("plane", "train")


def bomb(side: int) -> bytes:
    """A PNG whose header promises side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4)
        return len(content).to_bytes(4) + kind + content + check

    header = side.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def test_what_is_no_readable_picture_is_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 8)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.png").touch()
    whole = save(tmp_path / "cut.jpg", seed=50, form="JPEG", side=64).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bomb.png").write_bytes(bomb(50_000))
    Image.fromarray(np.full((3, 3), 7.5, np.float32)).save(tmp_path / "bright.tif")
    save(tmp_path / ".hidden.png", seed=51)
    save(tmp_path / ".cache" / "a.png", seed=52)
    save(tmp_path / "__MACOSX" / "a.png", seed=53)
    os.mkfifo(tmp_path / "pipe.png")
    monkeypatch.setattr(folders, "_MAX_BYTES", 100_000)
    (tmp_path / "huge.bmp").write_bytes(b"BM" + bytes(100_000))
    found = reasons(tmp_path)
    assert len(found) == 10
    assert "The file is text that begins with 'hello', and no picture." in found["notes.txt"]
    assert found["empty.png"] == "an empty file"
    assert "cannot be decoded" in found["cut.jpg"]
    assert "50000x50000" in found["bomb.png"]
    assert found["bright.tif"].endswith("Save floats in 0..1.")
    assert found[".hidden.png"] == "hidden file"
    assert found[".cache"] == "hidden folder"
    assert found["__MACOSX"] == "a folder of the system, not of pictures"
    assert found["pipe.png"] == "not a regular file"
    assert found["huge.bmp"] == "larger than 100,000 bytes"
    dataset = load(str(tmp_path))
    assert {one.path: one.reason for one in dataset.skipped} == found
    assert sum(map(len, dataset.splits.values())) == 8


def test_pictures_and_folders_that_this_project_wrote_are_no_data(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    sheet = to_sheet(np.zeros((4, 1, 8, 8), np.uint8), 2)
    (tmp_path / "dataset.png").write_bytes(sheet)
    for folder, names in {
        "runs/photos": ("recipe.toml", "starts.jsonl"),
        "runs/pca": ("recipe.toml", "state.json"),
        "models/photos/1": ("manifest.json", "model.safetensors"),
        "mine": ("recipe.toml",),
    }.items():
        fill(tmp_path / folder, 1, start=100)
        for name in names:
            (tmp_path / folder / name).touch()
    found = read_folder(tmp_path)
    assert {one.path: one.reason for one in found.skipped if "." not in one.path} == {
        "runs/photos": "the folder of a run",
        "runs/pca": "the folder of a run",
        "models/photos/1": "the folder of a model",
    }
    assert reasons(tmp_path)["dataset.png"] == "drawn by vae or vae-lab"
    assert len(found.parts["train"]) == 9
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("recipe.toml", "state.json"), "the folder of a run"),
        (("manifest.json", "model.safetensors"), "the folder of a model"),
    ],
)
def test_the_folder_of_a_run_or_a_model_is_no_data_set(
    names: tuple[str, ...], kind: str, tmp_path: Path
) -> None:
    fill(tmp_path, 8)
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=rf"is {kind}, and no folder of pictures\. Name the"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("faces.npz", r"Name the file of arrays instead: .*/faces\.npz"),
        ("faces.tar.gz", r"Unpack faces\.tar\.gz first\."),
        ("faces.txt", r"Put PNG, JPEG"),
    ],
)
def test_a_folder_of_other_data_says_which_to_name(name: str, fix: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"hello")
    with pytest.raises(DatasetError, match=rf"holds no picture that can be read, .*{fix}"):
        read_folder(tmp_path)


def test_links_to_files_are_read_and_links_to_folders_are_not(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    fill(root, 3)
    fill(elsewhere, 3, start=10)
    (root / "linked.png").symlink_to(elsewhere / "10.png")
    (root / "dangling.png").symlink_to(elsewhere / "gone.png")
    (root / "all").symlink_to(elsewhere)
    (root / "circle").symlink_to(root)
    (root / "itself.png").symlink_to(root / "itself.png")
    folder = read_folder(root)
    assert "linked.png" in {path.name for path in paths_of(folder.parts["train"])}
    assert {one.path: one.reason for one in folder.skipped} == {
        "all": "linked folder",
        "circle": "linked folder",
        "dangling.png": "a link to nothing",
        "itself.png": "Too many levels of symbolic links",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_listed(tmp_path: Path) -> None:  # pragma: no cover
    fill(tmp_path, 3)
    (tmp_path / "0.png").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    assert reasons(tmp_path) == {"0.png": "Permission denied", "closed": "Permission denied"}


def test_what_a_decoder_has_no_memory_for_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 2)
    describe = inspection._describe

    first = (tmp_path / "1.png").read_bytes()

    def exhausted(data: bytes, *others: Any) -> object:
        if data == first:
            raise MemoryError
        return describe(data, *others)

    monkeypatch.setattr(inspection, "_describe", exhausted)
    assert reasons(tmp_path) == {"1.png": "more memory than there is"}


def test_names_that_are_not_unicode_can_be_written(tmp_path: Path) -> None:
    fill(tmp_path / "cats", 2)
    try:
        fill(tmp_path / os.fsdecode(b"dogs\xff"), 2, start=2)
        fill(tmp_path / os.fsdecode(b"dogs\xfe"), 2, start=4)
        (tmp_path / os.fsdecode(b"\xff[bold].txt")).write_text("hello")
    except OSError:
        pytest.skip("the file system takes no such names")
    folder = read_folder(tmp_path)
    assert folder.class_names == ("cats", r"dogs\udcfe", r"dogs\udcff")
    shown = io.StringIO()
    Console(file=shown, width=120).print(left_out_table(folder.skipped))
    assert r"\udcff[bold].txt" in shown.getvalue()


def test_a_folder_without_pictures_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        DatasetError,
        match=r"no picture that can be read, but 1 other file or folder \(notes\.txt: .*Put PNG",
    ):
        load(str(tmp_path))


def test_loading_shows_what_was_left_out(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    (tmp_path / "notes.txt").write_text("hello")
    shown = io.StringIO()
    load(str(tmp_path), console=Console(file=shown, width=120))
    assert "notes.txt" in shown.getvalue()


def test_large_pictures_are_sampled_for_their_levels(tmp_path: Path) -> None:
    save(tmp_path / "large.png", seed=0, side=300)
    statistics = read_folder(tmp_path).parts["train"].statistics
    assert 2**13 < statistics.num_values <= 2**14
    assert statistics.used.all()


def test_pictures_of_16_bits_count_on_256_levels(tmp_path: Path) -> None:
    ramp = np.array([[0, 257, 65535]], dtype=np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    split = read_folder(tmp_path).parts["train"]
    assert np.flatnonzero(split.statistics.used).tolist() == [0, 1, 255]
    spec = ImageSpec(channels=1, height=1, width=3)
    assert split.read_levels(spec).ravel().tolist() == [0, 1, 255]


def test_pgm_and_ppm_files_are_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 12, 9), dtype=np.uint8)
    for number, one in enumerate(pixels):
        place = tmp_path / f"s{number % 2}"
        place.mkdir(exist_ok=True)
        Image.fromarray(one).save(place / f"{number}.pgm")
    (tmp_path / "s0" / "deep.pgm").write_bytes(b"P5 2 1 4095\n\x0f\xff\x00\x00")
    folder = read_folder(tmp_path)
    assert folder.class_names == ("s0", "s1")
    assert folder.skipped == ()
    assert folder.parts["train"].statistics.modes == {"grey, 8 bits": 4, "grey, 16 bits": 1}
