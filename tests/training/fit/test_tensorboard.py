"""TensorBoard's files: every number of the log once, and pictures, over all starts of a run."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.training.kinds import KINDS
from training.errors import RunError
from training.fit import train as loop
from training.fit.tensorboard import FOLDER, Curves, bars
from training.report.snapshot import Snapshot
from training.runs.folder import read_log


@pytest.fixture
def stopped_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was ended twice between its second validation and the checkpoint that follows."""
    recipe, run_dir, save = KINDS["static binary"](tmp_path), tmp_path / "run", loop.save

    def stop_at_epoch_10(training: loop.Training) -> None:
        if training.done.step == 10 * training.plan.steps_per_epoch:
            raise RunError("stop")
        save(training)

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "save", stop_at_epoch_10)
            with pytest.raises(RunError, match="stop"):
                train_with_rare_checkpoints(recipe, run_dir)
        wait_for_the_next_second()
    train_with_rare_checkpoints(recipe, run_dir)
    return run_dir


def wait_for_the_next_second() -> None:
    """The names of TensorBoard's files, by which it orders them, have whole seconds."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.01)


def train_with_rare_checkpoints(recipe: loop.Recipe, run_dir: Path) -> None:
    settings = recipe.training.model_copy(update={"checkpoint_seconds": 1e6})
    rare = recipe.model_copy(update={"training": settings})
    loop.train(rare, run_dir=run_dir, device="cpu", resume=True)


def test_a_resumed_run_goes_on_in_the_same_curves_without_doubled_points(stopped_twice: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert len(list((stopped_twice / FOLDER).iterdir())) == 3
    events = EventAccumulator(str(stopped_twice / FOLDER), size_guidance={"images": 0})
    events.Reload()
    lines = read_log(stopped_twice)
    assert [line["epoch"] for line in lines] == [5, 10, 15, 20]
    for name in lines[0].keys() - {"step"}:
        points = events.Scalars(name)
        assert [point.step for point in points] == [line["step"] for line in lines], name
        expected = pytest.approx([line[name] for line in lines], rel=1e-6)
        assert [point.value for point in points] == expected
    for name in ("reconstructions", "samples", "kl_per_dimension_nats"):
        pictures = events.Images(name)
        assert [picture.step for picture in pictures] == [line["step"] for line in lines]
        assert pictures[-1].encoded_image_string.startswith(b"\x89PNG")
    kl = events.Histograms("kl_per_dimension_nats")[-1].histogram_value
    assert kl.num == 2
    assert 0 <= kl.min <= kl.max


def test_what_cannot_be_written_is_an_error_that_says_so(tmp_path: Path):
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    empty = Snapshot(pictures={}, kl_parts={}, num_images=0, active_units=None, num_latents=1)
    with Curves(tmp_path) as curves, pytest.raises(RunError, match=r"tensorboard: .*File exists"):
        curves.add({"step": 1}, empty)


def test_bars_rise_with_the_values():
    picture = bars(np.array([0.0, 1.0, 0.5]))
    assert picture.shape == (1, 100, 12)
    assert (picture[0] > 0).sum(0).tolist() == [0] * 4 + [0, 100, 100, 100] + [0, 50, 50, 50]
