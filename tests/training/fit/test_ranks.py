"""A run of two processes is that of one process, but for rounding, whatever happens to them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models.errors import ConfigError
from tests.training.fit.run_in_ranks import CASES, SIGNALS, train
from training.errors import RunError
from training.fit import ranks as ranks_module
from training.fit.meetings import Meetings
from training.fit.ranks import ALONE, Ranks, join
from training.fit.train import train as train_recipe
from training.recipes.file import RECIPES, load_recipe
from training.runs.checkpoint import CHECKPOINT
from training.runs.folder import read_log
from training.runs.provenance import read_starts

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[3]


def run_in_ranks(folder: Path, *cases: str) -> None:
    """Train cases in two processes, which torchrun starts again once where one is lost."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = str(ROOT / "tests/training/fit/run_in_ranks.py")
    done = subprocess.run(
        [*torchrun, "--max-restarts=1", program, str(folder), *cases],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every case, trained by two processes; those of a case may be signalled."""
    folder = tmp_path_factory.mktemp("two")
    run_in_ranks(folder, "killed", *(case for case in CASES if case != "killed"))
    return folder


def assert_same(one: Path, other: Path) -> None:
    """Weights, averages and logs are the same but for rounding and clocks."""
    first, second = (torch.load(path / CHECKPOINT, weights_only=True) for path in (one, other))
    assert first["done"]["step"] == second["done"]["step"]
    for part in ("vae", "average"):
        for name, value in first[part].items():
            assert torch.allclose(value, second[part][name], rtol=1e-4, atol=2e-5), name
    clocks = {"seconds", "images_per_second", "peak_memory_bytes"}
    for mine, theirs in zip(read_log(one), read_log(other), strict=True):
        for key in mine.keys() - clocks:
            assert mine[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-4), key


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_two_processes_end_with_the_weights_and_the_log_of_one(
    case: str, in_two: Path, tmp_path: Path
) -> None:
    train(case, tmp_path)
    assert_same(in_two / case, tmp_path / case)
    assert (in_two / f"{case} had its signal").exists() == (case in SIGNALS)
    steps = [start["step"] for start in read_starts(in_two / case)]
    assert len(steps) == (2 if case in SIGNALS else 1)


def test_a_batch_is_divided_among_the_processes_or_refused() -> None:
    assert [Ranks(rank, 4).rows(12) for rank in (0, 3)] == [slice(0, 3), slice(9, 12)]
    assert ALONE.rows(7) == slice(0, 7)
    with pytest.raises(ConfigError, match=r"batch_size = 100 cannot be divided among 3") as it:
        Ranks(0, 3).rows(100)
    assert it.value.details["suggestion"] == "--set training.batch_size=99"
    with pytest.raises(ConfigError, match=r"Add --set training.batch_size=3\."):
        Ranks(0, 3).rows(2)


def test_a_model_that_is_fitted_at_once_is_refused_in_several_processes(tmp_path: Path) -> None:
    class Several(Ranks):
        def share(self, value: Any) -> Any:
            return value

    recipe = load_recipe(RECIPES / "digits-ppca.toml")
    with pytest.raises(ConfigError, match="without torchrun"):
        train_recipe(recipe, run_dir=tmp_path / "run", device="cpu", ranks=Several(0, 2))


def test_processes_that_torchrun_did_not_start_or_of_which_there_is_one_are_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    for count in ("1", "8"):  # some schedulers say how many there are, and start none
        monkeypatch.setenv("WORLD_SIZE", count)
        with join("auto") as found:
            assert found == (ALONE, "auto")


def test_a_process_takes_the_gpu_of_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for gpus, device, own in ((2, "auto", "cuda:1"), (2, "cpu", "cpu"), (0, "auto", "auto")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert ranks_module._own_device(device) == own
    assert taken == [1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="has 1 GPUs for 2 processes") as caught:
        ranks_module._own_device("cuda")
    assert caught.value.details["suggestion"] == "--nproc-per-node 1"


def test_a_lost_process_is_an_error_that_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(ranks_module, "_begin", lambda **_: None)
    monkeypatch.setattr(ranks_module.dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(ranks_module.dist, "get_rank", lambda: 0)
    with pytest.raises(RunError, match=r"closed by peer.*again with --resume"), join("cpu"):
        raise RuntimeError("Connection closed by peer [127.0.0.1]:2\nmore")
    with pytest.raises(NotImplementedError), join("cpu"):
        raise NotImplementedError


def test_looks_come_at_each_multiple_and_at_most_twice_as_far_apart() -> None:
    meetings, step, looks = Meetings(ALONE, step=3, at_least_every=10), 3, []
    while step < 40:
        step += 1
        if meetings.is_due(step):
            looks.append(step)
            assert meetings.decide(step, ends=step > 30, saves=False) == (step > 30, False)
    assert looks[:4] == [4, 6, 10, 18]
    assert {10, 20, 30, 40} <= set(looks)
