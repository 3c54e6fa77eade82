"""Files that commands write: under which names, and completely or not at all."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli.outputs import Results, picture_names, write
from app.cli.target import choose_target
from app.operations.table import OPERATIONS
from models.warnings import Warned
from tests.app.pictures import read_npz

SCORES = {"elbo_nats": np.array([-1.0, np.nan]), "seed": np.array(3)}
LATENTS = {"mean": np.zeros((2, 3)), "std": np.ones((2, 3))}
IMAGES = {"images": np.zeros((2, 1, 4, 4), np.float32)}
NAMES = ["a,b.png", r"c\n.png"]


def written(path: Path, operation: str, fields: dict[str, np.ndarray], **options: Any) -> Path:
    declared = OPERATIONS[operation]
    results = Results(fields, NAMES, options.pop("warnings", ()))
    write(choose_target(path, declared), declared, results, {}, **options)
    return path


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_every_row_keeps_the_name_of_its_file(tmp_path: Path) -> None:
    warnings = [Warned("constant", "", 1), Warned("shrunk", "", 1), Warned("enlarged", "")]
    rows = table(written(tmp_path / "a.csv", "elbo", SCORES, warnings=warnings))
    assert [row["file"] for row in rows] == NAMES
    assert [row["warnings"] for row in rows] == ["enlarged", "constant; shrunk; enlarged"]
    lines = written(tmp_path / "a.jsonl", "elbo", SCORES).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"file": "a,b.png", "elbo_nats": -1.0, "warnings": ""},
        {"file": r"c\n.png", "elbo_nats": None, "warnings": ""},
    ]
    answer = json.loads(written(tmp_path / "a.json", "elbo", SCORES).read_text())
    assert [row["file"] for row in answer["results"]] == NAMES
    answer = json.loads(written(tmp_path / "z.json", "encode", LATENTS).read_text())
    assert answer["files"] == NAMES
    arrays = read_npz(written(tmp_path / "z.npz", "encode", LATENTS).read_bytes())
    assert arrays["files"].tolist() == NAMES
    assert not list(tmp_path.glob("*.files.csv"))


@pytest.mark.parametrize(
    ("name", "operation", "fields"),
    [("z.npy", "encode", LATENTS), ("z.png", "reconstruct", IMAGES)],
)
def test_a_form_without_room_for_names_gets_a_table_beside_it(
    tmp_path: Path, name: str, operation: str, fields: dict[str, np.ndarray]
) -> None:
    written(tmp_path / name, operation, fields)
    assert [row["file"] for row in table(tmp_path / "z.files.csv")] == NAMES


def test_items_without_a_file_have_no_names(tmp_path: Path) -> None:
    written(tmp_path / "a.png", "sample", IMAGES, named=False)
    arrays = read_npz(written(tmp_path / "a.npz", "sample", IMAGES, named=False).read_bytes())
    assert "files" not in arrays
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.png"]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["a/x.png", "a/y.jpg"], ["x", "y"]),
        (["a/x.png", "b/x.png", "b/y.png"], ["a-x", "b-x", "y"]),
        (["/a/x.png", "../x.png"], ["a-x", "x"]),
        (["x.png", "X.jpg"], ["x-00000", "X-00001"]),
        (["x.png", "x.png#2"], ["x-00000", "x-00001"]),
        (["z.npy[0]", "z.npy[1]", "z.png"], ["z-00000", "z-00001", "z-00002"]),
        (["z.npy[7]"], ["z"]),
        (["scan [1].png"], ["scan [1]"]),
        (["x-00001.png", "a/x.png", "a/x.jpg"], ["x-00001", "a-x-00001", "a-x-00002"]),
        (
            ["x-00001.png", "x-00001x.png", "x.png", "x.jpg"],
            ["x-00001", "x-00001x", "x-00002", "x-00003"],
        ),
        (["x-00002.png", "x.png", "x.jpg"], ["x-00002", "x-00001", "x-00002x"]),
        (["-", "..."], ["picture-00000", "picture-00001"]),
    ],
)
def test_pictures_are_named_after_their_files_and_distinct(
    labels: list[str], names: list[str]
) -> None:
    assert picture_names(labels) == names


def test_a_picture_of_a_very_long_name_can_be_written(tmp_path: Path) -> None:
    labels = [f"{'é' * 120}a.png", f"{'é' * 120}b.png"]
    declared = OPERATIONS["reconstruct"]
    write(choose_target(tmp_path / "out", declared), declared, Results(IMAGES, labels), {})
    assert len(list((tmp_path / "out").iterdir())) == 2
