"""A run shows itself: kept pictures, its end, its page, whatever kind it is and however it ends."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.conftest import RECIPE
from tests.training.kinds import KINDS
from training.errors import Diverged, RunError
from training.evaluation.listing import describe_run
from training.fit import train as loop
from training.recipes.file import RECIPES, load_recipe
from training.recipes.loop import OptimizerConfig, TrainingConfig
from training.report.album import FOLDER, read_strips
from training.report.page import REPORT
from training.runs.end import END, read_end
from training.runs.lock import RunLock

QUIET = {
    "device": "cpu",
    "tensorboard": False,
    "report": True,
    "console": Console(quiet=True),
}


def shortened(epochs: int, **changes: object) -> loop.Recipe:
    settings = TrainingConfig(epochs=epochs, batch_size=400)
    return RECIPE.model_copy(update={"training": settings, **changes})


def test_a_run_keeps_pictures_of_its_validations_and_ends_with_a_page(tmp_path: Path) -> None:
    loop.train(shortened(3), run_dir=tmp_path / "run", **QUIET)
    assert [strips.epoch for strips in read_strips(tmp_path / "run")] == [1, 2, 3]
    page = (tmp_path / "run" / REPORT).read_text()
    assert "all 3 epochs are done." in page
    assert read_end(tmp_path / "run")["why"] == ""  # type: ignore[index]


def test_a_run_whose_time_is_over_has_a_page_and_can_be_resumed(tmp_path: Path) -> None:
    recipe, run_dir = KINDS["static binary"](tmp_path), tmp_path / "run"
    loop.train(recipe, run_dir=run_dir, limit_seconds=0.0, **QUIET)
    run = describe_run(run_dir)
    assert (run.state, run.why) == ("interrupted", "the time of --limit-minutes had passed")
    assert "the time of --limit-minutes had passed." in (run_dir / REPORT).read_text()
    loop.train(recipe, run_dir=run_dir, resume=True, **QUIET)
    assert describe_run(run_dir).state == "finished"


def test_a_resumed_run_keeps_the_pictures_from_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run_dir, save = KINDS["static binary"](tmp_path), tmp_path / "run", loop.save

    def stop_after_epoch_10(training: loop.Training) -> None:
        save(training)
        if training.done.step == 10 * training.plan.steps_per_epoch:
            raise RunError("stop")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", stop_after_epoch_10)
        with pytest.raises(RunError, match="stop"):
            loop.train(recipe, run_dir=run_dir, **QUIET)
    assert [strips.epoch for strips in read_strips(run_dir)] == [5, 10]
    assert describe_run(run_dir).why == "stop"
    loop.train(recipe, run_dir=run_dir, resume=True, **QUIET)
    loop.train(recipe, run_dir=tmp_path / "whole", **QUIET)
    assert [strips.epoch for strips in read_strips(run_dir)] == [5, 10, 15, 20]
    assert read_strips(run_dir) == read_strips(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-pca", "digits-ppca", "digits-gaussian-mixture"])
def test_a_classical_model_has_a_page_too(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / f"{name}.toml")
    loop.train(recipe, run_dir=tmp_path / "run", **{**QUIET, "tensorboard": True})
    page = (tmp_path / "run" / REPORT).read_text()
    assert "it was fitted at once." in page
    assert "Reconstructions, last validation" in page
    assert ("64 samples, last validation" in page) == (name != "digits-pca")


def test_a_run_that_diverges_says_so_in_its_page(tmp_path: Path) -> None:
    recipe = shortened(
        2,
        optimizer=OptimizerConfig(learning_rate=1e30, gradient_clip=1e30),
        training=TrainingConfig(epochs=200, batch_size=400, max_skipped_in_a_row=2),
    )
    with pytest.raises(Diverged):
        loop.train(recipe, run_dir=tmp_path / "run", **QUIET)
    assert describe_run(tmp_path / "run").state == "diverged"
    assert "Training diverged:" in (tmp_path / "run" / REPORT).read_text()


def test_a_start_that_is_refused_notes_no_end_in_a_run_that_goes_on(tmp_path: Path) -> None:
    recipe = shortened(1)
    loop.train(recipe, run_dir=tmp_path / "run", **QUIET)
    (tmp_path / "run" / END).unlink()
    with RunLock(tmp_path / "run", Console(quiet=True)) as lock:
        lock.acquire()
        with pytest.raises(RunError, match="is being trained by"):
            loop.train(recipe, run_dir=tmp_path / "run", resume=True, **QUIET)
    assert not (tmp_path / "run" / END).exists()


def test_a_page_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    run_dir, console = tmp_path / "run", Console(record=True, width=300, quiet=False)
    loop.train(shortened(1), run_dir=run_dir, **QUIET)
    for name in (REPORT, "log.jsonl", "state.json", "checkpoint.pt", "best.safetensors"):
        (run_dir / name).unlink(missing_ok=True)
    shutil.rmtree(run_dir / FOLDER)
    (run_dir / REPORT).mkdir()
    done = loop.train(shortened(1), run_dir=run_dir, resume=True, **{**QUIET, "console": console})
    assert done.stopped_because == "all 1 epochs are done"
    assert "Warning: the report is not written: " in console.export_text()


def test_pictures_that_cannot_be_written_end_the_run_with_an_error(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / FOLDER).write_text("a file where the folder should be")
    with pytest.raises(RunError, match="pictures"):
        loop.train(shortened(1), run_dir=run_dir, **QUIET)
    assert json.loads((run_dir / END).read_text())["why"].startswith("Cannot write")
