"""`vae anomaly`: its table, its exit code, and the files that it moves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.cli.alarms import ANOMALOUS, find_anomalous, move_files
from tests.app.cli.command_cases import Vae, done, rows, write_pictures
from tests.app.pictures import binary, encoded
from tests.app.repository import SIDE

ALPHA = "0.05"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of noise, as the good ones are, and a black one."""
    write_pictures(tmp_path / "photos")
    black = np.zeros((SIDE, SIDE), np.uint8)
    (tmp_path / "photos" / "black.png").write_bytes(encoded(black))
    return tmp_path / "photos"


def test_odd_pictures_are_said_sorted_and_moved(vae: Vae, folder: Path) -> None:
    found = done(vae("anomaly", "photos", "--alpha", ALPHA, "--sort", "p_value", "--seed", "1"))
    table = rows(found.stdout)
    assert [float(row["p_value"]) for row in table] == sorted(float(r["p_value"]) for r in table)
    odd = [Path(row["file"]).name for row in table if row["is_anomalous"] == "True"]
    assert "black.png" in odd
    assert f"{len(odd)} of 4 are anomalous at alpha={ALPHA}." in found.stderr
    moved = vae(
        *("anomaly", "photos", "--alpha", ALPHA, "--seed", "1"),
        *("--move-to", "odd", "--fail-on-anomaly"),
    )
    assert moved.exit_code == ANOMALOUS == 3
    assert sorted(path.name for path in Path("odd").iterdir()) == sorted(odd)
    assert not (folder / "black.png").exists()
    left = sorted(set(path.name for path in folder.iterdir()))
    assert sorted([*left, *odd]) == ["0.png", "1.png", "2.png", "black.png"]


def test_without_anomalies_the_exit_code_is_zero(vae: Vae, folder: Path) -> None:
    smallest = "0.0099010"
    named = [str(folder / f"{i}.png") for i in range(3)]
    found = vae("anomaly", *named, "--alpha", smallest, "--seed", "1", "--fail-on-anomaly")
    odd = [row for row in rows(found.stdout) if row["is_anomalous"] == "True"]
    assert found.exit_code == (ANOMALOUS if odd else 0)


def test_a_terminal_gets_a_short_table(
    vae: Vae, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.target.sys.stdout.isatty", lambda: True, raising=False)
    from app.cli.score_table import short_table
    from app.operations.table import OPERATIONS

    columns = {
        "file": ["a.png", "b.png"],
        "p_value": [0.001, 0.5],
        "is_anomalous": [True, False],
        "decided_by": ["residual_peak", "sharpness"],
    }
    shown = short_table(columns, OPERATIONS["anomaly"])
    assert "0.001" in shown
    assert "yes" in shown
    assert "residual peak" in shown


def test_maps_are_written_as_pictures(vae: Vae, folder: Path) -> None:
    for more in ((), ("--map", "none")):  # a picture has to show something
        black = str(folder / "black.png")
        done(vae("anomaly", black, "-o", "where.png", "--alpha", ALPHA, *more))
        with Image.open("where.png") as shown:
            assert (shown.mode, shown.size) == ("RGB", (SIDE, SIDE))
    done(vae("anomaly", "photos", "-o", "maps", "--map", "error", "--alpha", ALPHA))
    assert len(list(Path("maps").glob("*.png"))) == 4
    with Image.open(next(Path("maps").glob("*.png"))) as shown:
        assert shown.mode == "L"


def test_nothing_is_overwritten_and_rows_of_arrays_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "a.png", tmp_path / "odd"
    source.write_bytes(encoded(binary()[0]))
    target.mkdir()
    (target / "a.png").write_bytes(b"another")
    move_files([str(source), f"{source}#2", "x.npy[3]"], str(target))
    printed = capsys.readouterr().err
    assert "exists" in printed
    assert "row of an array" in printed
    assert "Moved 0 files" in printed
    assert source.exists()
    assert (target / "a.png").read_bytes() == b"another"
    move_files([str(source)], None)
    assert source.exists()


def test_what_the_system_refuses_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr("app.cli.alarms.shutil.move", refuse)
    move_files([str(source)], str(tmp_path / "odd"))
    assert "Permission denied" in capsys.readouterr().err
    assert source.exists()


def test_labels_of_anomalous_items_are_found() -> None:
    assert find_anomalous({"is_anomalous": np.array([True, False, True])}, list("abc")) == [
        "a",
        "c",
    ]
