"""`vae-lab train --minutes`: a run is planned, begun, continued, and repeated by its recipe."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.vae_lab import exit_code
from training.recipes.file import load_recipe
from training.runs.checkpoint import CHECKPOINT, PREVIOUS
from training.runs.folder import BEST, LOG, STATE, read_log

pytestmark = pytest.mark.slow

OPTIONS = ["--device", "cpu", "--set", "vae.latent_shape=[2]", "--set", "training.patience=0"]
OPTIONS += ["--set", "training.epochs=100000", "--no-tensorboard"]
MINUTES = 0.12


def write_pictures(path: Path) -> None:
    np.save(path, np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with the data and a planned run that was stopped at its first step; what it said."""
    folder = tmp_path_factory.mktemp("planned")
    write_pictures(folder / "cells.npy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "250")
        command = ["train", "cells.npy", *OPTIONS, "--minutes", str(MINUTES)]
        assert exit_code(*command, "--limit-minutes", "0") == 0
    return folder, (folder / "runs/cells/recipe.toml").read_text()


@pytest.fixture
def run(begun: tuple[Path, str], tmp_path: Path) -> Path:
    """The folder of a copy of the planned run, beside its data."""
    shutil.copytree(begun[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs/cells"


def num_steps(run_dir: Path) -> int:
    """Steps of the plan."""
    training = load_recipe(run_dir / "recipe.toml").training
    costs = json.loads((run_dir / "plan.json").read_text())["costs"]
    return training.max_steps or round(costs["steps_per_epoch"]) * training.epochs


def forget_training(run_dir: Path) -> None:
    """Leave what a process leaves that is killed before its first checkpoint."""
    for name in (CHECKPOINT, PREVIOUS, BEST, STATE, LOG):
        (run_dir / name).unlink(missing_ok=True)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run_dir / CHECKPOINT, weights_only=True)
    return {**state["vae"], **{f"average.{k}": v for k, v in state["average"].items()}}


def test_the_plan_is_in_the_runs_folder(begun: tuple[Path, str], run: Path) -> None:
    plan, recipe = json.loads((run / "plan.json").read_text()), load_recipe(run / "recipe.toml")
    assert plan["minutes"] == MINUTES
    assert plan["own"]["epochs"] == 100_000
    assert plan["own"]["kl_warmup_epochs"] == 10_000
    assert recipe.training.epochs < 100_000
    share = recipe.training.kl_warmup_epochs / 10_000
    own_steps = 100_000 * plan["costs"]["steps_per_epoch"]
    assert share == pytest.approx(num_steps(run) / own_steps, abs=1e-6)
    assert re.search(r"\n# Plan for 0\.12 minutes: .* of the recipe's 100,000 epochs, ", begun[1])
    assert set(plan["costs"]) == {"start", "step", "validation", "end", "steps_per_epoch"}
    assert (run / "best.safetensors").is_file()


def test_a_planned_run_goes_on_by_its_plan_to_the_weights_that_its_recipe_gives(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(run / "recipe.toml").training
    again = ["train", "cells.npy", *OPTIONS, "--resume"]
    assert exit_code(*again, "--minutes", "5") == 0
    said = capsys.readouterr().out
    assert "The run in runs/cells keeps its plan for 0.12 minutes, which ends with epoch " in said
    assert "The run is over: all " in said
    assert exit_code(*again) == 0
    assert "keeps its plan" not in capsys.readouterr().out
    log = read_log(run)
    assert log[-1]["step"] == num_steps(run)
    assert len(log) == -(-recipe.epochs // recipe.validate_every_epochs)
    repeated = ["train", "runs/cells/recipe.toml", "--run-dir", "repeated", "--device", "cpu"]
    assert exit_code(*repeated, "--no-tensorboard") == 0
    first, second = weights(run), weights(Path("repeated"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not Path("repeated/plan.json").exists()


def test_another_recipe_does_not_go_on_by_the_plan(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["train", "cells.npy", "--resume", "--device", "cpu", "--set", "seed=7"]
    assert exit_code(*again) == 1
    assert "has other values of seed." in capsys.readouterr().err


def test_a_run_of_fixed_length_is_not_planned(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "plan.json").unlink()
    again = ["train", "cells.npy", "--resume", "--device", "cpu", "--minutes", "5"]
    assert exit_code(*again) == 1
    error = capsys.readouterr().err
    assert "the length of the run in runs/cells is fixed" in error
    assert "--limit-minutes 5" in error
    assert "--run-dir runs/cells-2" in error


def test_a_damaged_plan_is_an_error_that_names_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "plan.json").write_text("{}")
    assert exit_code("train", "cells.npy", "--resume", "--device", "cpu") == 1
    assert "runs/cells/plan.json is damaged." in capsys.readouterr().err


def test_a_plan_that_never_began_is_continued_and_a_new_run_forgets_it(run: Path) -> None:
    forget_training(run)
    planned = load_recipe(run / "recipe.toml")
    stop = [*OPTIONS, "--limit-minutes", "0"]
    assert exit_code("train", "cells.npy", "--resume", *stop) == 0
    assert load_recipe(run / "recipe.toml") == planned
    assert (run / "plan.json").is_file()
    forget_training(run)
    assert exit_code("train", "cells.npy", *stop) == 0
    assert load_recipe(run / "recipe.toml").training.epochs == 100_000
    assert not (run / "plan.json").exists()


def test_a_model_that_is_fitted_at_once_needs_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("train", "digits-pca", "--minutes", "1", "--device", "cpu") == 0
    assert "Plan for 1 minute: pca is fitted at once." in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_what_is_no_time_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("train", "digits", "--minutes", value) == 2
    assert f"{value} is no time for a run. Use --minutes 8." in capsys.readouterr().err


def test_a_run_that_is_there_is_refused_before_anything_is_timed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("train", "cells.npy", *OPTIONS, "--minutes", "5") == 1
    assert "There is a run in runs/cells already." in capsys.readouterr().err
