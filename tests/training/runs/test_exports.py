"""Exports of a run are noted with the weights that they hold."""

from pathlib import Path

from training.runs.exports import EXPORTS, read_exports, record_export


def test_the_exports_of_the_same_weights_are_found(tmp_path: Path) -> None:
    assert read_exports(tmp_path, weights_sha256="a") == []
    for number, digest in enumerate("aba", 1):
        record_export(tmp_path, tmp_path / f"models/m/{number}", weights_sha256=digest)
    found = read_exports(tmp_path, weights_sha256="a")
    assert found == [tmp_path / "models/m/1", tmp_path / "models/m/3"]


def test_half_a_line_of_a_killed_export_is_passed_over(tmp_path: Path) -> None:
    record_export(tmp_path, tmp_path / "m/1", weights_sha256="a")
    path = tmp_path / EXPORTS
    path.write_text(path.read_text() + '{"bundle": "/m')
    assert read_exports(tmp_path, weights_sha256="a") == [tmp_path / "m/1"]
