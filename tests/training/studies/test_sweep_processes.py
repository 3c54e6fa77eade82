"""A sweep in several processes: started by one, joined by another, ended, and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training.studies.sweep_cases import RATES, SMALL, open_trials, tiny
from training.runs.lock import find_trainer
from training.studies import sweep_processes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
ENDLESS = ["--set", "training.epochs=1000000", "--set", "training.validate_every_epochs=1000000"]
OPTIONS = [word for override in SMALL for word in ("--set", override)]
PATIENCE_SECONDS = 240
"""How long a test waits for other processes before it fails."""


@contextmanager
def sweeping(folder: Path, *arguments: str, vary: str = RATES) -> Iterator[subprocess.Popen[str]]:
    """A process of `vae-lab sweep digits`; killed at the end, if it is still there."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "training", "sweep", "digits", "--sweep-dir", str(folder)),
            *("--vary", vary, "--device", "cpu", "--no-tensorboard", *OPTIONS, *arguments),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not there():
        if process.poll() not in (None, -signal.SIGKILL) or time.monotonic() > deadline:
            pytest.fail(f"it did not come: {process.communicate()}")
        time.sleep(0.05)


def trainers(folder: Path) -> list[int]:
    """Ids of the processes that train or trained the trials."""
    locks = sorted(folder.glob("locks/*/lock.json"))
    return [json.loads(path.read_text())["pid"] for path in locks]


def is_trained(folder: Path) -> bool:
    return any(find_trainer(path) for path in folder.glob("locks/*"))


def has_checkpoints(folder: Path, count: int) -> bool:
    return len(list(folder.glob("trial-*/checkpoint.pt"))) == count


def ends(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=PATIENCE_SECONDS)


def count_starts(folder: Path) -> Sequence[int]:
    paths = sorted(folder.glob("trial-*/starts.jsonl"))
    return [len(path.read_text().splitlines()) for path in paths]


def test_a_second_process_with_the_same_command_joins_the_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(folder, "--trials", "3") as one, sweeping(folder, "--trials", "3") as other:
        for process in (one, other):
            _, errors = ends(process)
            assert process.returncode == 0, errors
    assert [outcome.state for outcome in open_trials(folder).outcomes()] == ["complete"] * 3
    assert count_starts(folder) == [1] * 3


def test_jobs_train_in_processes_of_their_own_with_the_threads_divided(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(folder, "--trials", "4", "--jobs", "2") as process:
        output, errors = ends(process)
        assert process.returncode == 0, errors
        assert process.pid not in trainers(folder)
    assert [outcome.state for outcome in open_trials(folder).outcomes()] == ["complete"] * 4
    assert count_starts(folder) == [1] * 4
    for path in folder.glob("trial-*/starts.jsonl"):
        assert json.loads(path.read_text())["threads"] == 1
    for number in range(4):
        assert output.count(f"Trial {number}: ") == 1
    assert "The best of 4 trials (4 complete)" in output


def test_a_signal_ends_every_process_with_its_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(folder, "--jobs", "2", *ENDLESS, "--set", "training.checkpoint_seconds=1") as it:
        wait_for(lambda: has_checkpoints(folder, 2), it)
        it.send_signal(signal.SIGTERM)
        _, errors = ends(it)
        assert it.returncode == 128 + signal.SIGTERM
        assert "SIGTERM ended the sweep; the checkpoint of each trial" in errors
        assert "Traceback" not in errors
    assert not is_trained(folder)
    recipe = tiny(*ENDLESS[1::2], "training.checkpoint_seconds=1")
    outcomes = open_trials(folder, recipe=recipe).outcomes()
    assert [outcome.state for outcome in outcomes] == ["running"] * 2


def test_processes_whose_parent_is_killed_end(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(folder, "--jobs", "2", *ENDLESS) as it:
        wait_for(lambda: count_starts(folder) == [1, 1], it)
        it.kill()
        wait_for(lambda: not is_trained(folder), it)


def test_a_signal_outside_of_the_steps_ends_a_process_with_its_code() -> None:
    with pytest.raises(SystemExit) as caught:
        sweep_processes._leave(signal.SIGTERM, None)
    assert caught.value.code == 143


def test_a_killed_process_is_named_where_trials_are_left(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    with sweeping(folder, "--jobs", "2", "--trials", "2", *ENDLESS) as it:
        wait_for(lambda: count_starts(folder) == [1, 1], it)
        for pid in trainers(folder):
            os.kill(pid, signal.SIGKILL)
        _, errors = ends(it)
        assert it.returncode == 1
        assert "Processes of the sweep ended early: sweep-0 by -9, sweep-1 by -9. Give" in errors


def test_an_error_of_a_process_is_that_of_the_command(tmp_path: Path) -> None:
    fails = ["--set", "training.max_skipped_in_a_row=1", "--trials", "40"]
    rate = "optimizer.learning_rate=1e30"
    with sweeping(tmp_path / "sweep", "--jobs", "2", *fails, vary=rate) as it:
        _, errors = ends(it)
        assert it.returncode == 1
        assert "trials all failed, so the sweep ends. The last one: Training diverged" in errors
