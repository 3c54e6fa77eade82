"""A sweep in one process: reproducible, killed and gone on with, with trials that fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigError
from tests.training.studies.sweep_cases import RATES, SMALL, open_trials, results, run, tiny
from training.errors import RunError
from training.fit.train import train
from training.recipes.file import load_recipe
from training.runs.claim import create_or_verify
from training.runs.folder import Progressed, read_log, read_state
from training.studies import sweep
from training.studies.sweep import MAX_FAILED
from training.studies.sweep_outcomes import find_best
from training.studies.sweep_trials import MIN_COMPLETE, PRUNED

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SIGNALLED_IN_A_STEP = """
import os, signal, sys
from training.commands.lab import main
from training.fit import train as loop

take_step, steps = loop.take_step, 0

def signalled(training, chosen):
    global steps
    steps += 1
    if steps == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[2]))
    take_step(training, chosen)

loop.take_step = signalled
main(sys.argv[3:])
"""
"""A command that gets a signal in its n-th step: n, the signal, and the command's arguments."""


def test_two_sweeps_of_one_seed_find_the_same_and_one_of_another_seed_does_not(
    expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    assert results(run(open_trials(tmp_path / "again"), 3)) == expected
    assert [state for _, state, *_ in expected] == ["complete"] * 3
    other = run(open_trials(tmp_path / "other", recipe=tiny("seed=9")), 1)
    assert results(other)[0] != expected[0]


def test_the_best_recipe_trains_the_best_trial_again(tmp_path: Path) -> None:
    outcomes = run(open_trials(tmp_path / "sweep"), 2)
    best = find_best(outcomes)
    assert best is not None
    assert best.bound_nats == max(one.bound_nats or -1e9 for one in outcomes)
    recipe = load_recipe(tmp_path / "sweep/best.toml")
    assert recipe.seed == best.seed
    assert recipe.optimizer.learning_rate == best.values["optimizer.learning_rate"]
    done = train(recipe, run_dir=tmp_path / "again", device="cpu", tensorboard=False)
    assert done.best_bound_nats == best.bound_nats
    assert done.best_error_nats == best.standard_error_nats
    first, second, third, *_ = (tmp_path / "sweep/best.toml").read_text().splitlines()
    assert first == (
        f"# The best of 2 trials (2 complete) of the sweep {tmp_path / 'sweep'}: trial "
        f"{best.trial}, seed {best.seed}."
    )
    assert f"{best.bound_nats:.2f} +- {best.standard_error_nats:.2f}. It was chosen" in second
    assert third.endswith(f"vae-lab evaluate {best.run}")


def test_a_finished_sweep_goes_on_where_more_trials_are_asked_for(tmp_path: Path) -> None:
    before = results(run(open_trials(tmp_path / "sweep"), 1))
    assert results(run(open_trials(tmp_path / "sweep"), 1)) == before
    assert results(run(open_trials(tmp_path / "sweep"), 2))[:1] == before


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The results of a sweep of three trials."""
    return results(run(open_trials(tmp_path_factory.mktemp("whole") / "sweep"), 3))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_sweep_ended_in_a_step_goes_on_from_its_checkpoint_as_if_it_had_not_been(
    number: signal.Signals, expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    options = [word for override in SMALL for word in ("--set", override)]
    ended = subprocess.run(
        [
            *(sys.executable, "-c", SIGNALLED_IN_A_STEP, "5", str(int(number))),
            *("sweep", "digits", "--vary", RATES, "--trials", "3", "--sweep-dir", str(folder)),
            *("--device", "cpu", "--no-tensorboard", *options),
        ],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if number is signal.SIGKILL:
        assert ended.returncode == -number
    else:
        assert ended.returncode == 128 + number
        said = f"{number.name} ended the sweep in trial 1, whose checkpoint is written. Give the "
        assert f"{said}same command again to go on.\n" in ended.stderr
    trials = open_trials(folder)
    assert [one.state for one in trials.outcomes()] == ["complete", "running"]
    assert results(run(trials, 3)) == expected
    starts = (folder / "trial-0001/starts.jsonl").read_text().splitlines()
    assert json.loads(starts[0])["step"] == 0
    assert len(starts) == 2


def test_a_time_limit_leaves_a_trial_to_go_on_with(tmp_path: Path) -> None:
    recipe = tiny("training.epochs=100000", "training.validate_every_epochs=100000")
    trials = open_trials(tmp_path / "sweep", recipe=recipe)
    (outcome,) = run(trials, 5, deadline=time.monotonic() + 0.5)
    assert outcome.state == "running"
    assert (tmp_path / "sweep/trial-0000/checkpoint.pt").is_file()
    assert run(trials, 5, deadline=time.monotonic()) == [outcome]
    assert trials.claim(1) is not None


def test_a_trial_that_falls_behind_is_pruned_and_its_run_says_so(tmp_path: Path) -> None:
    recipe = tiny("training.epochs=20")
    trials = open_trials(tmp_path / "sweep", recipe=recipe)
    good = Progressed(step=20, best_bound_nats=-50.0, best_epoch=20, stopped_because="over")
    for _ in range(MIN_COMPLETE):
        claim = trials.claim(100)
        assert claim is not None
        for epoch in range(1, 21):
            trials.report(claim, recipe, epoch, -50.0)
        with claim.lock:
            made = trials.recipe_of(claim)
            create_or_verify(trials.run_dir(claim.number), made, resume=True)
            trials.finish(claim, good, made)
    shown = []
    *_, outcome = run(trials, MIN_COMPLETE + 1, show=shown.append)
    assert (outcome.state, outcome.epoch, outcome.reason) == ("pruned", 2, PRUNED)
    assert shown == [outcome]
    run_dir = Path(outcome.run)
    assert read_state(run_dir)["stopped_because"] == PRUNED
    assert [line["epoch"] for line in read_log(run_dir)] == [1, 2]


DIVERGES = "optimizer.learning_rate=1e30"


def test_a_trial_that_diverges_or_is_refused_fails_with_its_reason_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    recipe = tiny("training.max_skipped_in_a_row=1")
    trials = open_trials(tmp_path / "sweep", "optimizer.learning_rate=1e30,1e-2", recipe=recipe)
    outcomes = run(trials, 6)
    reasons = {one.values["optimizer.learning_rate"]: one.reason for one in outcomes}
    states = {one.values["optimizer.learning_rate"]: one.state for one in outcomes}
    assert states == {1e30: "failed", 1e-2: "complete"}
    assert reasons[1e30].startswith("Training diverged: ")
    specs = ["training.kl_cycles=1,2", "training.kl_warmup_epochs=0,1"]
    outcomes = run(open_trials(tmp_path / "other", *specs), 6)
    failed = [one for one in outcomes if one.state == "failed"]
    assert [tuple(one.values.values()) for one in failed] == [(2, 0)] * len(failed)
    assert failed
    assert "Trial" in failed[0].reason
    assert "kl_cycles = 2 repeats the KL's warm-up" in failed[0].reason


def test_a_sweep_whose_first_trials_all_fail_ends_and_may_be_tried_again(tmp_path: Path) -> None:
    recipe = tiny("training.max_skipped_in_a_row=1")
    for start in (1, 2):
        trials = open_trials(tmp_path / "sweep", DIVERGES, recipe=recipe)
        with pytest.raises(RunError, match=rf"The first {MAX_FAILED} trials all failed.*diverged"):
            run(trials, 20)
        assert len(trials.outcomes()) == start * MAX_FAILED


def test_a_fault_of_the_code_ends_the_sweep_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> Progressed:
        raise ValueError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "train", fail)
        with pytest.raises(ValueError, match="no such thing"):
            run(open_trials(tmp_path / "sweep"), 2)
    failed, other = run(open_trials(tmp_path / "sweep"), 2)
    assert (failed.state, failed.reason) == ("failed", "ValueError: no such thing")
    assert other.state == "complete"


def test_a_fault_of_the_disk_ends_the_sweep_and_not_the_trial(tmp_path: Path) -> None:
    trials = open_trials(tmp_path / "sweep")
    in_the_way = tmp_path / "sweep/trial-0000/recipe.toml"
    in_the_way.mkdir(parents=True)
    with pytest.raises(ConfigError, match="Cannot read the recipe"):
        run(trials, 2)
    in_the_way.rmdir()
    assert [one.state for one in run(open_trials(tmp_path / "sweep"), 2)] == ["complete"] * 2
