"""A run that is cut short before its first validation has weights all the same."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.kinds import MLP, make, write_array
from training.errors import Interrupted
from training.fit import step as hot
from training.fit import unscheduled
from training.fit.train import train
from training.recipes.recipe import Recipe
from training.report.page import make_page
from training.runs.checkpoint import CHECKPOINT
from training.runs.folder import BEST, STATE, read_log, read_run


def recipe(folder: Path, **optimizer: float) -> Recipe:
    return make(
        write_array(folder, 8, 8, levels=2),
        {"levels": 2, "binarization": "threshold"},
        {"kind": "bernoulli"},
        MLP,
        schedule={"warmup": 0.0},
        optimizer=optimizer,
    )


def cut(recipe: Recipe, run_dir: Path, *, resume: bool = False) -> None:
    train(
        recipe, run_dir=run_dir, device="cpu", tensorboard=False, limit_seconds=0.0, resume=resume
    )


def averages(run_dir: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run_dir / CHECKPOINT, weights_only=True)["average"]
    return found


@pytest.mark.slow
def test_the_weights_of_the_moment_are_kept_and_the_run_knows_nothing_of_it(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    for starts in (1, 2):
        cut(recipe(tmp_path), run_dir, resume=starts == 2)
        state = read_run(run_dir).state
        assert (state["finished"], state["epochs"]) == (False, 1)
        assert state["best_validation_bound_nats"] < 0
        best, average = load_file(run_dir / BEST), averages(run_dir)
        assert all(torch.equal(best[name], average[name]) for name in best)
        done = torch.load(run_dir / CHECKPOINT, weights_only=True)["done"]
        assert (done["step"], done["best_epoch"], done["stale_validations"]) == (starts, 0, 0)
        assert read_log(run_dir) == []
    page = make_page(run_dir)
    assert "The run was cut short before the first validation of its schedule." in page


def test_weights_without_a_finite_bound_are_not_kept(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    cut(recipe(tmp_path, learning_rate=1e30), run_dir)
    assert not (run_dir / BEST).exists()
    assert not (run_dir / STATE).exists()


def test_weights_that_were_validated_stay_the_best_ones(tmp_path: Path) -> None:
    run_dir, often = tmp_path / "run", recipe(tmp_path)
    often = often.model_copy(update={"training": often.training.model_copy(update={"epochs": 3})})
    often = Recipe.model_validate(often.model_dump())
    assert train(often, run_dir=run_dir, device="cpu", tensorboard=False).stopped_because
    before = (run_dir / BEST).read_bytes()
    cut(often, run_dir, resume=True)
    assert (run_dir / BEST).read_bytes() == before
    assert json.loads((run_dir / STATE).read_text())["finished"]


@pytest.mark.parametrize(("patience", "kept"), [(60.0, True), (0.0, False)])
def test_a_signal_waits_for_a_short_validation_only(
    patience: float, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unscheduled, "_PATIENCE_SECONDS", patience)
    update_average = hot.update_average

    def signalling(*arguments: list[torch.Tensor], decay: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        update_average(*arguments, decay=decay)

    monkeypatch.setattr(hot, "update_average", signalling)
    run_dir = tmp_path / "run"
    with pytest.raises(Interrupted, match="SIGTERM ended the run after step 1 of 120"):
        train(recipe(tmp_path), run_dir=run_dir, device="cpu", tensorboard=False)
    assert (run_dir / BEST).exists() == kept
    assert (run_dir / CHECKPOINT).exists()
