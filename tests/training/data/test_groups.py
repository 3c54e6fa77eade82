"""Groups by an expression or a table: no split parts them, and what cannot be grouped is said."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.pictures import save, settle
from tests.training.data.scenes import as_jpeg, brightened, scene
from training.data import bonds
from training.data.bonds import find_bonds
from training.data.datasets import Dataset, load
from training.data.folders import read_folder
from training.data.near_copies import near_copies
from training.errors import DatasetError


def people(folder: Path, count: int = 30, each: int = 6) -> Path:
    """Pictures p0_0.png, p0_1.png, ..., all different."""
    for person in range(count):
        for number in range(each):
            save(folder / f"p{person}_{number}.png", seed=person * each + number)
    return folder


def names(dataset: Dataset) -> dict[str, list[str]]:
    return {
        part: [split.name(one) for one in range(len(split))]
        for part, split in dataset.splits.items()
    }


def owners(dataset: Dataset) -> dict[str, set[str]]:
    """The people of each split, by the names of files."""
    return {
        part: {Path(name).name.partition("_")[0] for name in some}
        for part, some in names(dataset).items()
    }


def are_apart(sets: dict[str, set[str]]) -> bool:
    return sum(map(len, sets.values())) == len(set().union(*sets.values()))


@pytest.mark.parametrize("group_by", ["^([^_]+)_", "regex:^p[0-9]+", "^(p[0-9]+)_([0-9])"])
def test_groups_of_an_expression_are_whole(tmp_path: Path, group_by: str) -> None:
    people(tmp_path)
    dataset = load(str(tmp_path), group_by=group_by)
    assert are_apart(owners(dataset))
    assert not are_apart(owners(load(str(tmp_path))))
    assert dataset.split_by == "at random by group; 30 groups kept whole"
    assert not dataset.warnings


def test_held_out_splits_of_groups_have_about_a_tenth(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for person, count in enumerate(generator.integers(1, 20, 40)):
        for number in range(count):
            save(tmp_path / f"p{person}_{number}.png", seed=1_000 * person + number)
    dataset = load(str(tmp_path), group_by="^([^_]+)_")
    total = sum(map(len, dataset.splits.values()))
    assert len(dataset.validation) / total == pytest.approx(0.1, abs=0.02)
    assert len(dataset.test) / total == pytest.approx(0.1, abs=0.02)


def test_groups_go_by_their_names_whatever_their_pictures(tmp_path: Path) -> None:
    first = owners(load(str(people(tmp_path / "a")), group_by="^([^_]+)_"))
    for number, path in enumerate(sorted(people(tmp_path / "b").iterdir())):
        save(path, seed=5_000 + number)
    assert owners(load(str(tmp_path / "b"), group_by="^([^_]+)_")) == first


def test_a_table_groups_what_it_names_and_the_rest_stands_alone(tmp_path: Path) -> None:
    folder = people(tmp_path / "photos", 12)
    rows = [f"p{one}_{number}.png,g{one % 6}" for one in range(10) for number in range(6)]
    table = folder / "groups.csv"
    table.write_text("\n".join(["path,group", *rows, "./p0_0.png,g0", "gone.png,g1", ""]))
    dataset = load(str(folder), group_by="groups.csv")
    for name in {f"g{one}" for one in range(6)}:
        of_group = {row.partition(",")[0] for row in rows if row.endswith(f",{name}")}
        assert sum(bool(of_group & set(some)) for some in names(dataset).values()) == 1
    assert "1 row of" in dataset.warnings[0]
    assert "name no picture of the data set, such as 'gone.png'" in dataset.warnings[0]
    assert "12 of 72 pictures have no group and may be in any split" in dataset.warnings[1]
    assert "6 groups kept whole" in dataset.split_by


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p0_0.png\n", r"Line 1 of .* has 1 column, not two"),
        ("p0_0.png,a\np0_1.png,b,c\n", r"Line 2 of .* has 3 columns, not two"),
        ("path,group\nother.png,a\n", r"names no picture of the data set, such as 'p.*', but 'oth"),
        ("", "names no picture"),
        ("p0_0.png,\n", "names no picture"),
        ("p0_0.png,a\np0_0.png,b\n", r"puts 'p0_0.png' into two groups, 'a' and 'b' \(line 2\)"),
        ('"p0_0.png,a\n', "cannot be read as a table: "),
        ("\x00\xff", "cannot be read as a table: "),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    table = people(tmp_path, 2) / "groups.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=message):
        load(str(tmp_path), group_by=str(table))


def test_a_table_with_semicolons_and_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    people(tmp_path, 20)
    rows = [f"p{one}_{number}.png;{one}" for one in range(20) for number in range(6)]
    (tmp_path / "g.CSV").write_text("\ufeff" + "\r\n".join(rows), encoding="utf-8")
    assert are_apart(owners(load(str(tmp_path), group_by="g.CSV")))


@pytest.mark.parametrize(
    ("group_by", "message"),
    [
        ("^([^_]+", r"'\^\(\[\^_\]\+' is no regular expression: missing \)"),
        ("^([0-9]+)x", r"matches no picture's path, such as 'p.*png'.*\^\(\[\^/\]\+\)/"),
        ("x*", "matches no picture's path"),
        ("groups.csv", r"There is no table groups.csv here, in .*path and group"),
    ],
)
def test_what_groups_nothing_is_refused(tmp_path: Path, group_by: str, message: str) -> None:
    people(tmp_path, 2)
    with pytest.raises(DatasetError, match=message) as caught:
        load(str(tmp_path), group_by=group_by)
    assert caught.value.details["parameter"] == "dataset.group_by"


def test_a_group_that_leaves_too_little_is_refused(tmp_path: Path) -> None:
    people(tmp_path, 1, 100)
    for number in range(10):
        save(tmp_path / f"other{number}_0.png", seed=900 + number)
    with pytest.raises(DatasetError, match=r"the largest, 'p0', has 100 of 110 pictures.*than 8"):
        load(str(tmp_path), group_by="^([^_]+)_")


def test_two_groups_cannot_make_three_splits(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"The 2 groups .* cannot be held out"):
        load(str(people(tmp_path, 2, 30)), group_by="^([^_]+)_")


def test_a_few_large_groups_are_held_out_with_a_warning(tmp_path: Path) -> None:
    dataset = load(str(people(tmp_path, 3, 20)), group_by="^([^_]+)_")
    assert [len(split) for split in dataset.splits.values()] == [20, 20, 20]
    assert "The test split has 33% of the pictures instead of 10%" in dataset.warnings[0]


def test_given_splits_stay_and_a_group_in_two_of_them_is_said(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        people(tmp_path / part, 3)
    plain = load(str(tmp_path))
    dataset = load(str(tmp_path), group_by=r"([^/_]+)_\d+\.png$")
    assert dataset.sha256 == plain.sha256
    assert plain.split_by == "as the data give them"
    assert dataset.split_by == "as the data give them; groups are not used for them"
    assert "3 groups lie in more than one of the given splits, such as 'p0'" in dataset.warnings[0]


def test_what_is_missing_of_given_splits_is_taken_by_groups(tmp_path: Path) -> None:
    people(tmp_path / "train", 20)
    for number in range(10):
        save(tmp_path / "test" / f"q_{number}.png", seed=800 + number)
    dataset = load(str(tmp_path), group_by=r"([^/_]+)_\d+\.png$")
    assert are_apart(owners(dataset))
    assert dataset.split_by == (
        "test as given; validation from train at random by group; groups are not used for what is "
        "given; 20 groups kept whole"
    )


def test_members_of_a_tar_are_grouped_by_their_own_paths(tmp_path: Path) -> None:
    people(tmp_path / "photos")
    shards = tmp_path / "shards"
    shards.mkdir()
    for number in range(2):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for path in sorted((tmp_path / "photos").iterdir())[number::2]:
                tar.add(path, arcname=path.name)
    assert are_apart(owners(load(str(shards), group_by="^([^_]+)_")))


def test_arrays_have_no_paths_to_group_by(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8)
    np.save(tmp_path / "some.npy", images)
    with pytest.raises(DatasetError, match=r"have no paths that dataset\.group_by could group"):
        load(str(tmp_path / "some.npy"), group_by="a")


def test_rows_of_parquet_have_no_paths_to_group_by(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    people(tmp_path / "photos", 10, 2)
    rows = [path.read_bytes() for path in sorted((tmp_path / "photos").iterdir())]
    pq.write_table(pa.table({"image": rows}), tmp_path / "some.parquet")
    with pytest.raises(DatasetError, match=r"those of arrays and of Parquet have none"):
        load(str(tmp_path / "some.parquet"), group_by="a")


def test_a_known_set_has_fixed_splits() -> None:
    with pytest.raises(DatasetError, match=r"The splits of digits are fixed.*group_by = 'a'"):
        load("digits", group_by="a")


# Near-copies


def album(folder: Path, count: int = 60) -> Path:
    """Scenes, each as a PNG, a JPEG, smaller and brighter."""
    folder.mkdir()
    for seed in range(count):
        picture = scene(seed)
        picture.save(folder / f"s{seed}_0.png")
        as_jpeg(picture).save(folder / f"s{seed}_1.png")
        picture.resize((50, 50)).save(folder / f"s{seed}_2.png")
        brightened(picture).save(folder / f"s{seed}_3.png")
    return folder


def test_near_copies_are_in_one_split_and_read_from_the_cache(
    tmp_path: Path, cache_dir: Path, opened: list[str]
) -> None:
    folder = album(tmp_path / "photos")
    settle(folder)
    dataset = load(str(folder))
    assert are_apart(owners(dataset))
    assert dataset.split_by == "at random by content hash; 240 near-copies kept together"
    assert not dataset.warnings
    opened.clear()
    assert load(str(folder)).sha256 == dataset.sha256
    assert not opened


def test_near_copies_in_an_array_are_in_one_split(tmp_path: Path) -> None:
    pictures = [np.asarray(scene(seed, side=32)) for seed in range(60)]
    darker = [(one * 0.9).astype(np.uint8) for one in pictures]
    np.save(tmp_path / "some.npy", np.stack([*pictures, *darker]))
    dataset = load(str(tmp_path / "some.npy"))
    assert "120 near-copies" in dataset.split_by
    assert all(len(split) % 2 == 0 for split in dataset.splits.values())


def test_near_copies_join_groups(tmp_path: Path) -> None:
    people(tmp_path, 40)
    for number, person in enumerate((1, 2)):
        picture = as_jpeg(scene(0)) if number else scene(0)
        picture.save(tmp_path / f"p{person}_scene.png")
    found = owners(load(str(tmp_path), group_by="^([^_]+)_"))
    assert are_apart(found)
    assert any({"p1", "p2"} <= some for some in found.values())


def test_near_copies_that_link_most_groups_are_not_kept_together(tmp_path: Path) -> None:
    people(tmp_path, 20)
    for person in range(19):
        picture = scene(person)
        picture.save(tmp_path / f"p{person}_a.png")
        as_jpeg(picture).save(tmp_path / f"p{person + 1}_b.png")
    dataset = load(str(tmp_path), group_by="^([^_]+)_")
    assert are_apart(owners(dataset))
    assert "Near-copies link groups, so that 158 pictures would be one" in dataset.warnings[0]
    assert "near-copies" not in dataset.split_by


def test_pictures_that_are_all_alike_are_split_and_said(tmp_path: Path) -> None:
    for number in range(60):  # frames of a video that stands nearly still
        picture = np.asarray(scene(0)).copy()
        picture[number, :3] = 255 - picture[number, :3]
        save(tmp_path / f"{number}.png", seed=number)
        Image.fromarray(picture).save(tmp_path / f"f{number}.png")
    dataset = load(str(tmp_path))
    assert "60 of 120 pictures are so much alike that they would be one" in dataset.warnings[0]
    assert "--group-by" in dataset.warnings[0]
    assert dataset.split_by == "at random by content hash"
    assert sum(1 for name in names(dataset)["train"] if name.startswith("f")) < 60


def test_similar_pictures_do_not_chain_into_a_large_group(tmp_path: Path) -> None:
    first, last = (np.asarray(scene(seed)).astype(np.float64) for seed in (0, 1))
    for number in range(20):  # each is near the next, and the ends are far apart
        share = number / 19
        frame = Image.fromarray((share * last + (1 - share) * first).astype(np.uint8))
        frame.save(tmp_path / f"f{number}_0.png")
        as_jpeg(frame, quality=90).resize((80, 80)).save(tmp_path / f"f{number}_1.png")
    split = read_folder(tmp_path).parts["train"]
    assert len(np.unique(near_copies(split.looks))) < 10
    for seed in range(2, 102):
        scene(seed).save(tmp_path / f"s{seed}_0.png")
    dataset = load(str(tmp_path))
    assert dataset.split_by == "at random by content hash; 40 near-copies kept together"
    assert are_apart(owners(dataset))
    assert not dataset.warnings
    found = find_bonds(read_folder(tmp_path).parts["train"], None, binds_near_copies=True)
    assert np.bincount(found.of_each).max() <= 8


@pytest.mark.parametrize(("people_each", "each"), [(20, 3), (11, 6), (7, 9), (12, 50), (300, 1)])
def test_every_held_out_split_of_groups_has_eight_pictures_and_at_most_a_quarter(
    tmp_path: Path, people_each: int, each: int
) -> None:
    dataset = load(str(people(tmp_path, people_each, each)), group_by="^([^_]+)_")
    total = people_each * each
    assert all(8 <= len(split) <= total / 4 for split in (dataset.validation, dataset.test))
    assert are_apart(owners(dataset))


def test_where_too_many_would_be_compared_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = album(tmp_path / "photos", 12)
    monkeypatch.setattr(bonds, "near_copies", lambda *_, **__: None)
    dataset = load(str(folder))
    assert "So many of 48 pictures are alike that near-copies are not" in dataset.warnings[0]
    assert dataset.split_by == "at random by content hash"


def test_a_small_set_of_one_scene_is_split_as_before(tmp_path: Path) -> None:
    for number in range(8):
        picture = np.asarray(scene(0)).copy()
        picture[number] = 255 - picture[number]
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    assert [len(split) for split in load(str(tmp_path)).splits.values()] == [4, 2, 2]


def test_data_of_a_run_from_before_near_copies_keep_their_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = album(tmp_path / "photos")
    now = load(str(folder))
    with monkeypatch.context() as changed:
        changed.setattr(bonds, "near_copies", lambda looks, **_: np.arange(len(looks)))
        before = load(str(folder))
    assert before.sha256 != now.sha256
    assert load(str(folder), recorded=before.sha256).sha256 == before.sha256
    assert load(str(folder), recorded=now.sha256).sha256 == now.sha256
    assert load(str(folder), recorded="0" * 64).sha256 == now.sha256
