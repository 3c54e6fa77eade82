"""The runs of a folder: their states, numbers and order."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest
import torch
from rich.console import Console

from models.errors import ConfigError
from tests.training.conftest import QUICK, RECIPE
from training.commands import report as commands
from training.errors import Diverged, Interrupted
from training.evaluation.listing import SortKey, describe_run, list_runs, shown
from training.evaluation.trained import load_trained_model
from training.recipes.objective import AutoencoderConfig
from training.runs.claim import create_or_verify
from training.runs.end import record_end
from training.runs.exports import record_export
from training.runs.folder import BEST, LOG, STATE, append_line
from training.runs.lock import RunLock
from training.runs.provenance import record_start


def change_state(run_dir: Path, **changes: object) -> None:
    state = json.loads((run_dir / STATE).read_text())
    (run_dir / STATE).write_text(json.dumps({**state, **changes}))


def start(run_dir: Path, at: str | None = None) -> None:
    """Note a start, at a given moment."""
    record_start(run_dir, step=0, dataset_sha256="ab" * 32, device=torch.device("cpu"))
    if at is not None:
        path = run_dir / "starts.jsonl"
        line = json.loads(path.read_text().splitlines()[-1])
        path.write_text(json.dumps({**line, "started_at": at}) + "\n")


def test_a_finished_run_has_its_bound_with_error_and_unit_its_length_and_its_reason(
    run_dir: Path,
) -> None:
    append_line(run_dir / LOG, {"epoch": 3, "step": 27})
    start(run_dir, "2026-01-02T03:04:05+00:00")
    run = describe_run(run_dir)
    assert (run.state, run.why) == ("finished", "all 3 epochs are done")
    assert (run.epochs_done, run.epochs_planned, run.best_epoch) == (3, 3, 3)
    assert (run.bound, run.best_validation_bound, run.standard_error) == ("ELBO", -150.0, 1.5)
    assert (run.unit, run.seconds) == ("nats per image", 1.5)
    assert (run.objective, run.dataset) == ("elbo", "digits")
    assert (run.evaluated, run.exported) == (False, ())
    assert run.started_at == "2026-01-02T03:04:05+00:00"


def test_a_run_whose_lock_is_held_is_running(run_dir: Path) -> None:
    change_state(run_dir, finished=False)
    with RunLock(run_dir, Console(quiet=True)) as lock:
        lock.acquire()
        run = describe_run(run_dir)
    assert run.state == "running"
    assert run.why.startswith("process ")


@pytest.mark.parametrize(
    ("error", "state", "why"),
    [
        (Interrupted("SIGTERM ended the run.", signal_number=15), "interrupted", "SIGTERM ended"),
        (None, "interrupted", "the time of --limit-minutes had passed"),
        (Diverged("Training diverged: NaN."), "diverged", "Training diverged: NaN."),
    ],
)
def test_a_run_that_ended_early_says_why(
    run_dir: Path, error: Exception | None, state: str, why: str
) -> None:
    change_state(run_dir, finished=False, stopped_because="")
    record_end(run_dir, error)
    run = describe_run(run_dir)
    assert run.state == state
    assert run.why.startswith(why)


def test_a_run_that_was_killed_is_interrupted(run_dir: Path) -> None:
    change_state(run_dir, finished=False, stopped_because="")
    assert describe_run(run_dir).state == "interrupted"
    assert "was killed" in describe_run(run_dir).why


@pytest.mark.parametrize("has_weights", [True, False])
def test_a_run_that_is_over_and_has_learnt_nothing_diverged(
    run_dir: Path, has_weights: bool
) -> None:
    if has_weights:
        record_end(run_dir, Diverged("no step had a finite gradient"))
    else:
        change_state(run_dir, best_validation_bound_nats=None)
        (run_dir / BEST).unlink()
    assert describe_run(run_dir).state == "diverged"


def test_a_run_with_a_recipe_alone_is_not_started(tmp_path: Path) -> None:
    create_or_verify(tmp_path / "new", RECIPE, resume=False)
    run = describe_run(tmp_path / "new")
    assert (run.state, run.why, run.started_at, run.epochs_done) == ("not started", "", None, 0)
    start(tmp_path / "new")
    assert describe_run(tmp_path / "new").state == "interrupted"


@pytest.mark.parametrize("name", ["recipe.toml", "state.json", "end.json"])
def test_a_damaged_run_is_listed_with_the_fault(run_dir: Path, name: str) -> None:
    (run_dir / name).write_text("{")
    (run,) = list_runs(run_dir.parent)
    assert run.state == "damaged"
    assert run.why
    assert shown([run])[0].epochs == "0/-"


def test_scores_and_bundles_count_while_they_are_of_the_weights_that_are_there(
    run_dir: Path, tmp_path: Path
) -> None:
    model = load_trained_model(run_dir)
    model.evaluate(settings=QUICK)
    bundle = tmp_path / "models" / "tiny" / "4"
    record_export(run_dir, bundle, weights_sha256=model.weights_sha256)
    run = describe_run(run_dir)
    assert (run.evaluated, run.exported) == (True, (str(bundle),))
    assert (shown([run])[0].evaluated, shown([run])[0].exported) == ("yes", "tiny/4")
    (run_dir / BEST).write_bytes(b"newer weights")
    run = describe_run(run_dir)
    assert (run.evaluated, run.exported) == (False, ())


def test_an_autoencoder_is_validated_by_its_squared_error(run_dir: Path) -> None:
    recipe = (run_dir / "recipe.toml").read_text()
    for kind, new in (("prior", "none"), ("posterior", "point"), ("likelihood", "point")):
        head, _, tail = recipe.partition(f"[vae.{kind}]\n")
        recipe = f'{head}[vae.{kind}]\nkind = "{new}"\n\n{tail[tail.index("[") :]}'
    head, _, tail = recipe.partition("[objective]\n")
    recipe = f'{head}[objective]\nkind = "autoencoder"\n\n{tail[tail.index("[") :]}'
    (run_dir / "recipe.toml").write_text(recipe.replace('values = "integer"', 'values = "unit"'))
    run = describe_run(run_dir)
    assert run.why == "all 3 epochs are done"
    assert run.objective == AutoencoderConfig().kind
    assert (run.bound, run.unit) == ("-squared error", "squared error per image")


@pytest.fixture
def three(run_dir: Path) -> Path:
    """A folder of three runs, and of two other things."""
    runs = run_dir.parent
    start(run_dir, "2026-01-02T00:00:00+00:00")
    for name, at, bound in (("a", "2026-01-03T00:00:00+00:00", -90.0), ("z", None, None)):
        shutil.copytree(run_dir, runs / name)
        (runs / name / "starts.jsonl").unlink()
        if at is None:
            (runs / name / STATE).unlink()
        else:
            change_state(runs / name, best_validation_bound_nats=bound, seconds=9.0)
            start(runs / name, at)
    append_line(run_dir / LOG, {"epoch": 3, "step": 27})
    (runs / "photos").mkdir()
    (runs / "notes.txt").write_text("not a run")
    return runs


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("newest", ["a", "tiny", "z"]),
        ("name", ["a", "tiny", "z"]),
        ("state", ["a", "tiny", "z"]),
        ("bound", ["a", "tiny", "z"]),
        ("seconds", ["a", "tiny", "z"]),
        ("epochs", ["tiny", "a", "z"]),
        ("data", ["a", "tiny", "z"]),
    ],
)
def test_runs_are_sorted_and_those_without_a_number_come_last(
    three: Path, sort: SortKey, names: list[str]
) -> None:
    assert [run.name for run in list_runs(three, sort=sort)] == names


def test_the_newest_run_comes_first(three: Path) -> None:
    start(three / "z", "2026-01-04T00:00:00+00:00")
    assert [run.name for run in list_runs(three)] == ["z", "a", "tiny"]


def test_the_command_knows_every_order() -> None:
    assert get_args(SortKey) == commands.SORTS


def test_a_run_itself_is_a_list_of_one(run_dir: Path) -> None:
    assert [run.name for run in list_runs(run_dir)] == ["tiny"]


def test_a_folder_that_is_missing_is_an_error_with_a_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no folder .*vae-lab train digits"):
        list_runs(tmp_path / "nowhere")
