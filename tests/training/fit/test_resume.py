"""A run that is ended at any moment and resumed ends as if it had not been, on data of any kind."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.errors import ConfigError
from tests.training.kinds import KILLS, KINDS, MLP, make, write_array
from tests.training.vae_lab import exit_code
from training.errors import RunError
from training.fit import step as hot
from training.fit import train as loop
from training.fit.training import Training
from training.recipes.file import to_toml
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT, PREVIOUS
from training.runs.folder import BEST, STATE, read_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TIMED = {"seconds", "images_per_second", "peak_memory_bytes"}


class Stopped(Exception):
    """Raised in the middle of a step."""


def train(recipe: Recipe, run_dir: Path, **options: Any) -> loop.Progressed:
    options = {"device": "cpu", "resume": True, "tensorboard": False, **options}
    return loop.train(recipe, run_dir=run_dir, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Recipe, Path]]:
    """A kind's recipe, and the folder of its run that nothing interrupted."""
    made: dict[str, tuple[Recipe, Path]] = {}

    def get(kind: str) -> tuple[Recipe, Path]:
        if kind not in made:
            folder = tmp_path_factory.mktemp("kind")
            made[kind] = KINDS[kind](folder), folder / "whole"
            train(*made[kind])
        return made[kind]

    return get


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Do something in the middle of the step after so many, counted over all starts."""
    take_step, update_average, running = loop.take_step, hot.update_average, -1

    def noting(training: Training, chosen: torch.Tensor) -> None:
        nonlocal running
        running = training.done.step
        take_step(training, chosen)

    def acting(averaged: Any, trained: Any, *, decay: float) -> None:
        if running == step:
            act()
        update_average(averaged, trained, decay=decay)

    monkeypatch.setattr(loop, "take_step", noting)
    monkeypatch.setattr(hot, "update_average", acting)


def stop() -> None:
    raise Stopped


def checkpoint(run_dir: Path, name: str = CHECKPOINT) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(run_dir / name, weights_only=True)
    return state


def assert_equal(first: Any, second: Any, where: str = "") -> None:
    """The same numbers, bitwise, except for what a clock gave."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first.keys() - TIMED:
            assert_equal(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


def assert_same_run(first: Path, second: Path) -> None:
    assert_equal(checkpoint(first), checkpoint(second))
    assert_equal(load_file(first / BEST), load_file(second / BEST))
    for one, other in zip(read_log(first), read_log(second), strict=True):
        assert_equal(one, other, "log")


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_stopped_in_the_middle_of_steps_ends_as_the_whole_one(
    kind: str,
    whole: Callable[[str], tuple[Recipe, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    recipe, expected = whole(kind)
    num_steps = checkpoint(expected)["done"]["step"]
    # the first and the last step, those around a validation, and some others
    steps = {0, 29, 30, num_steps - 1, *random.Random(kind).sample(range(num_steps), 4)}
    for step in sorted(steps):
        with monkeypatch.context() as patch:
            at_step(patch, step, stop)
            with pytest.raises(Stopped):
                train(recipe, tmp_path / "run")
    assert train(recipe, tmp_path / "run").step == num_steps
    assert_same_run(tmp_path / "run", expected)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each kind whose processes were killed, see `kinds.py`."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.kinds", str(folder)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {kind: len(KILLS) for kind in KINDS}
    return folder


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_killed_in_steps_and_in_writes_ends_as_the_whole_one(
    kind: str, whole: Callable[[str], tuple[Recipe, Path]], killed: Path
):
    _, expected = whole(kind)
    assert_same_run(killed / kind / "run", expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_a_checkpoint_of_that_very_step(
    number: signal.Signals,
    whole: Callable[[str], tuple[Recipe, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    recipe, expected = whole("static binary")
    recipe_file, run_dir = tmp_path / "recipe.toml", tmp_path / "run"
    recipe_file.write_text(to_toml(recipe))
    before = signal.getsignal(number)
    command = ["train", str(recipe_file), "--run-dir", str(run_dir), "--device", "cpu"]
    at_step(monkeypatch, 37, lambda: os.kill(os.getpid(), number))
    assert exit_code(*command, "--no-tensorboard") == 128 + number
    assert f"{number.name} ended the run after step 38 of 120" in capsys.readouterr().err
    assert signal.getsignal(number) == before
    assert checkpoint(run_dir)["done"]["step"] == 38
    train(recipe, run_dir)
    assert_same_run(run_dir, expected)


def test_a_time_limit_ends_the_command_with_a_checkpoint_to_go_on_from(
    whole: Callable[[str], tuple[Recipe, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe, expected = whole("static binary")
    recipe_file, run_dir = tmp_path / "recipe.toml", tmp_path / "run"
    recipe_file.write_text(to_toml(recipe))
    command = ["train", str(recipe_file), "--run-dir", str(run_dir), "--device", "cpu"]
    assert exit_code(*command, "--no-tensorboard", "--limit-minutes", "0") == 0
    said = capsys.readouterr().out
    assert "is at step 1. Continue it with --resume" in said
    assert f"Its best weights so far: vae-lab export {run_dir}" in said
    assert not read_log(run_dir)
    assert (run_dir / BEST).is_file()
    assert exit_code(*command, "--no-tensorboard", "--resume") == 0
    assert "The run is over: all 20 epochs are done." in capsys.readouterr().out
    assert_same_run(run_dir, expected)


@pytest.mark.parametrize("damage", ["truncated", "emptied", "overwritten", "lost"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    damage: str,
    whole: Callable[[str], tuple[Recipe, Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    recipe, expected = whole("static binary")
    run_dir = tmp_path / "run"
    shutil.copytree(expected, run_dir)
    before, path = checkpoint(run_dir, PREVIOUS)["done"]["step"], run_dir / CHECKPOINT
    content = path.read_bytes()
    assert before < 120
    if damage == "lost":
        path.unlink()
    else:
        half = len(content) // 2
        path.write_bytes(
            {
                "truncated": content[:half],
                "emptied": b"",
                "overwritten": content[:half] + bytes(2000) + content[half + 2000 :],
            }[damage]
        )
    assert train(recipe, run_dir).step == 120
    warning = f"going on from the checkpoint before it, of step {before}"
    assert f"Warning: {CHECKPOINT}" in (out := capsys.readouterr().out)
    assert warning in out
    assert_same_run(run_dir, expected)


def test_two_damaged_checkpoints_are_an_error_that_names_both_and_touches_neither(
    whole: Callable[[str], tuple[Recipe, Path]], tmp_path: Path
):
    recipe, expected = whole("static binary")
    run_dir = tmp_path / "run"
    shutil.copytree(expected, run_dir)
    for name in (CHECKPOINT, PREVIOUS):
        (run_dir / name).write_bytes(b"PK damaged")
    with pytest.raises(RunError, match=rf"{CHECKPOINT} .*{PREVIOUS} .*train anew"):
        train(recipe, run_dir)
    assert (run_dir / CHECKPOINT).read_bytes() == b"PK damaged"
    assert len(read_log(run_dir)) == len(read_log(expected))


def test_a_run_is_not_resumed_on_other_data(tmp_path: Path):
    recipe = KINDS["static binary"](tmp_path)
    train(recipe, tmp_path / "run", limit_seconds=0.0)
    (tmp_path / "pictures.npz").unlink()
    write_array(tmp_path, 8, 8, levels=3)
    with pytest.raises(
        ConfigError, match=r"has changed since the run began: its sha256 was .*--run-dir"
    ):
        train(recipe, tmp_path / "run")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The mount point of a file system of 300 KiB."""
    point = tmp_path / "disk"
    point.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(point)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_a_full_disk_ends_the_run_with_the_last_checkpoint_whole(small_disk: Path):
    recipe = make(
        write_array(small_disk.parent, 8, 8, levels=2),
        {"levels": 2, "binarization": "threshold"},
        {"kind": "bernoulli"},
        {**MLP, "hidden": [40]},
    )
    run_dir = small_disk / "run"
    with pytest.raises(RunError, match=r"No space left on device.*make room.*--resume"):
        train(recipe, run_dir, tensorboard=True)
    step = checkpoint(run_dir)["done"]["step"]
    assert 0 < step < 120
    assert not [path.name for path in run_dir.rglob("*partial*")]
    assert all(line["step"] <= step + 30 for line in read_log(run_dir))
    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert train(recipe, run_dir, tensorboard=True).step == 120
    train(recipe, small_disk.parent / "whole")
    assert_same_run(run_dir, small_disk.parent / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("name", [f".{CHECKPOINT}.partial", f".{BEST}.partial"])
def test_a_write_that_finds_no_room_leaves_what_was_there(
    name: str, whole: Callable[[str], tuple[Recipe, Path]], tmp_path: Path
):
    recipe, expected = whole("static binary")
    run_dir = tmp_path / "run"
    train(recipe, run_dir, limit_seconds=0.0)
    (run_dir / name).symlink_to("/dev/full")
    with pytest.raises(RunError, match="No space left on device"):
        train(recipe, run_dir)
    assert checkpoint(run_dir)["done"]["step"] >= 1
    assert not [path.name for path in run_dir.rglob("*partial*")]
    train(recipe, run_dir)
    assert_same_run(run_dir, expected)


def test_a_run_ends_early_when_validations_are_no_better_and_says_why(tmp_path: Path):
    recipe = make(
        write_array(tmp_path, 8, 8, levels=2),
        {"levels": 2, "binarization": "threshold"},
        {"kind": "bernoulli"},
        MLP,
        training={"patience": 2, "validate_every_epochs": 1},
        optimizer={"learning_rate": 1e-30},
    )
    done = train(recipe, tmp_path / "run")
    assert done.step == 3 * 6
    why = "the last 2 validations were not better than that of epoch 1"
    state = json.loads((tmp_path / "run" / STATE).read_text())
    assert (state["finished"], state["stopped_because"], state["epochs"]) == (True, why, 1)
    assert train(recipe, tmp_path / "run").step == done.step


def test_a_run_of_an_older_version_that_noted_less_goes_on(
    whole: Callable[[str], tuple[Recipe, Path]], tmp_path: Path
):
    recipe, expected = whole("static binary")
    run_dir = tmp_path / "run"
    shutil.copytree(expected, run_dir)
    state = checkpoint(run_dir)
    known = ("step", "bound_nats", "best_bound_nats", "best_epoch", "skipped_steps", "seconds")
    done = {name: state["done"][name] for name in known}
    parts = ("vae", "average", "optimizer")
    torch.save({**{name: state[name] for name in parts}, "done": done}, run_dir / CHECKPOINT)
    (run_dir / PREVIOUS).unlink()
    assert train(recipe, run_dir).stopped_because == "all 20 epochs are done"
