"""The commands `runs` and `report`, as typed."""

import json
from pathlib import Path

import pytest

from tests.training.vae_lab import exit_code
from training.report.page import REPORT

pytestmark = pytest.mark.slow
QUICK = ["--elbo-samples", "2", "--iwae-samples", "2", "--subset", "0", "--device", "cpu"]


def test_runs_lists_the_runs_folder_as_a_table(
    run_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_dir.parent.parent)
    assert exit_code("runs") == 0
    head, _, row = (line.strip() for line in capsys.readouterr().out.splitlines() if line.strip())
    assert head.split()[:3] == ["run", "state", "epochs"]
    said = "tiny finished 0/3 ELBO -150.00 +- 1.50 nats per image 0:00:02 elbo digits no no all 3"
    assert row.split() == [*said.split(), "epochs", "are", "done"]


def test_runs_as_json_has_numbers_and_null(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("runs", str(run_dir.parent), "--json", "--sort", "bound") == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["best_validation_bound"] == -150.0
    assert (run["state"], run["unit"]) == ("finished", "nats per image")
    assert exit_code("runs", str(run_dir.parent.parent), "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_an_empty_folder_and_an_unknown_order_are_told_what_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("runs", str(tmp_path)) == 0
    assert "Train a first one: vae-lab train digits" in capsys.readouterr().out
    assert exit_code("runs", str(tmp_path), "--sort", "size") == 1
    assert "--sort size is not allowed. Allowed: newest, name," in capsys.readouterr().err


def test_report_writes_the_page_and_says_where(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("report", str(run_dir)) == 0
    assert f"The report is {run_dir / REPORT}." in capsys.readouterr().out
    assert "no test scores yet" in (run_dir / REPORT).read_text()


def test_evaluating_a_run_writes_its_page_again_and_exporting_notes_the_bundle(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("evaluate", str(run_dir), *QUICK) == 0
    assert f"The report is {run_dir / REPORT}." in capsys.readouterr().out
    page = (run_dir / REPORT).read_text()
    assert "no test scores yet" not in page
    assert "Exported as" not in page
    models = tmp_path / "models"
    assert exit_code("export", str(run_dir), "--repository", str(models), *QUICK) == 0
    assert str(models / "tiny" / "1") in (run_dir / REPORT).read_text()
    capsys.readouterr()
    assert exit_code("evaluate", str(models / "tiny" / "1"), *QUICK) == 0
    assert "The report is" not in capsys.readouterr().out


def test_a_page_that_cannot_be_written_leaves_the_scores_on_the_screen(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_dir / REPORT).mkdir()
    assert exit_code("evaluate", str(run_dir), *QUICK) == 0
    printed = capsys.readouterr()
    assert "Warning: the report is not written: " in printed.err
    assert "ELBO, 2 draws" in printed.out


def test_an_export_that_cannot_be_noted_is_made_all_the_same(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_dir / "exports.jsonl").mkdir()
    models = tmp_path / "models"
    assert exit_code("export", str(run_dir), "--repository", str(models), *QUICK) == 0
    assert "Warning: the export is not noted in" in capsys.readouterr().out
    assert (models / "tiny" / "1" / "manifest.json").is_file()
