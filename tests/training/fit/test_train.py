"""The loop: it learns, and keeps what validates best. See test_resume.py for how it goes on."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from models.distributions.discretized import DiscretizedLogistic
from models.errors import ConfigError
from models.vae.model import VAE
from training.data.datasets import load
from training.errors import RunError
from training.fit import batches
from training.fit import step as hot
from training.fit import train as loop
from training.fit.training import start_training
from training.fit.validation import Validation
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT
from training.runs.folder import BEST, LOG, RECIPE, STATE, read_log
from training.runs.lock import RunLock

SMALL = [
    "vae.encoder.hidden=[16]",
    "vae.decoder.hidden=[16]",
    "training.epochs=4",
    "training.batch_size=128",
    "training.validate_every_epochs=1",
    "training.checkpoint_seconds=0.1",
]


def recipe(*overrides: str) -> Recipe:
    return load_recipe(RECIPES / "digits.toml", overrides=[*SMALL, *overrides])


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run_dir / CHECKPOINT, weights_only=True)
    return {**state["vae"], **{f"average.{k}": v for k, v in state["average"].items()}}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    loop.train(recipe(), run_dir=run_dir, device="cpu")
    return run_dir


def test_the_loss_falls_and_the_log_says_so(uninterrupted: Path):
    lines = [json.loads(line) for line in (uninterrupted / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["validation_bound_nats"] > lines[0]["validation_bound_nats"] + 5
    assert lines[-1]["train_elbo_nats"] == pytest.approx(
        -lines[-1]["train_rate_nats"] - lines[-1]["train_distortion_nats"]
    )
    assert lines[-1]["step"] == 4 * (1197 // 128)


def test_the_run_folder_holds_the_recipe_and_its_provenance(uninterrupted: Path):
    state = json.loads((uninterrupted / STATE).read_text())
    assert state["finished"]
    assert state["seed"] == 1
    assert len(state["dataset_sha256"]) == 64
    assert load_recipe(uninterrupted / RECIPE) == recipe()


def test_the_best_weights_are_the_averaged_ones_that_validated_best(uninterrupted: Path):
    state = json.loads((uninterrupted / STATE).read_text())
    vae = VAE(recipe().vae).eval()
    vae.load_state_dict(load_file(uninterrupted / BEST))
    dataset = load("digits")
    data = batches.load_data(recipe(), None, Console(quiet=True), dataset=dataset)
    bound_nats, error_nats, _ = loop.validate(vae, data, recipe().objective)
    assert bound_nats == pytest.approx(state["best_validation_bound_nats"], rel=1e-6)
    assert error_nats == pytest.approx(state["best_validation_standard_error_nats"], rel=1e-6)


def test_another_seed_ends_with_other_weights(uninterrupted: Path, tmp_path: Path):
    loop.train(recipe("seed=2"), run_dir=tmp_path / "run", device="cpu")
    first, second = weights(uninterrupted), weights(tmp_path / "run")
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_folder_with_a_run_is_neither_overwritten_nor_resumed_with_another_recipe(
    uninterrupted: Path,
):
    with pytest.raises(ConfigError, match="--resume"):
        loop.train(recipe(), run_dir=uninterrupted, device="cpu")
    with pytest.raises(ConfigError, match="own recipe"):
        loop.train(recipe("seed=2"), run_dir=uninterrupted, device="cpu", resume=True)


def test_a_step_whose_gradient_is_not_finite_changes_nothing_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    measure, calls = hot.gradient_norm, 0

    def poisoned(parameters: list[torch.Tensor]) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 5:
            parameters[0].grad.fill_(float("nan"))
        return measure(parameters)

    monkeypatch.setattr(hot, "gradient_norm", poisoned)
    done = loop.train(recipe("training.epochs=1"), run_dir=tmp_path / "run", device="cpu")
    assert done.skipped_steps == 1
    assert all(bool(t.isfinite().all()) for t in weights(tmp_path / "run").values())


def test_what_a_validation_answers_ends_the_run_for_good(tmp_path: Path):
    seen: list[tuple[int, float]] = []

    def end_at_two(epoch: int, bound_nats: float) -> str:
        seen.append((epoch, bound_nats))
        return "it was enough" if epoch == 2 else ""

    run_dir = tmp_path / "run"
    done = loop.train(recipe(), run_dir=run_dir, device="cpu", on_validation=end_at_two)
    assert done.stopped_because == json.loads((run_dir / STATE).read_text())["stopped_because"]
    assert done.stopped_because == "it was enough"
    logged = [(line["epoch"], line["validation_bound_nats"]) for line in read_log(run_dir)]
    assert seen == logged
    assert [epoch for epoch, _ in seen] == [1, 2]
    assert loop.train(recipe(), run_dir=run_dir, device="cpu", resume=True) == done


def test_a_run_of_few_steps_is_validated_at_its_last_one(tmp_path: Path):
    run_dir = tmp_path / "run"
    few = recipe("training.max_steps=12", "training.kl_warmup_epochs=0.5", "training.kl_cycles=2")
    training = start_training(
        few, batches.load_data(few, None, Console()), run_dir=run_dir, device="cpu"
    )
    assert training.plan.annealing.cycle_epochs == pytest.approx(12 / 9 / 2)
    done = loop.train(few, run_dir=run_dir, device="cpu")
    assert (done.step, done.stopped_because, done.best_epoch) == (12, "all 12 steps are done", 2)
    assert [(line["epoch"], line["step"]) for line in read_log(run_dir)] == [(1, 9), (2, 12)]
    assert weights(run_dir)


@pytest.mark.parametrize("from_marginal", [False, True])
def test_a_glorot_start_is_the_trained_and_the_averaged_model_and_a_resumed_run_has_it(
    from_marginal: bool, tmp_path: Path
):
    glorot = recipe(
        "training.init=glorot",
        f"training.start_from_marginal={str(from_marginal).lower()}",
        "training.max_steps=1",
        "schedule.kind=stages",
        "optimizer.eps=1e-4",
    )
    training = start_training(
        glorot, batches.load_data(glorot, None, Console()), run_dir=tmp_path / "run", device="cpu"
    )
    for vae in (training.vae, training.average):
        last = vae.decoder.body[-1]
        edge = (6 / (last.in_features + last.out_features)) ** 0.5
        assert 0.9 * edge < float(last.weight.detach().abs().max()) <= edge
        assert bool(last.bias.any()) == from_marginal
        assert not vae.encoder.body[1].bias.any()
    loop.train(glorot, run_dir=tmp_path / "run", device="cpu")
    moved = weights(tmp_path / "run")
    for name, value in training.average.state_dict().items():  # one step, averaged by 0.999
        assert torch.allclose(moved[f"average.{name}"], value, atol=1e-5)
    again = loop.train(glorot, run_dir=tmp_path / "run", device="cpu", resume=True)
    assert again.step == 1
    assert_same(weights(tmp_path / "run"), moved)


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load("digits")
    train, validation = whole.train.take(np.arange(128)), whole.validation.take(np.arange(20))
    few = replace(whole, train=train, validation=validation)
    monkeypatch.setattr(batches, "load_dataset", lambda recipe, **_: few)


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize(
    ("kind", "binarization", "likelihood"),
    [
        ("unit", "none", '{ kind = "normal", scale = "per_pixel" }'),
        ("unit", "none", '{ kind = "continuous_bernoulli" }'),
        ("integer", "stochastic", '{ kind = "bernoulli" }'),
        ("integer", "threshold", '{ kind = "bernoulli" }'),
        ("integer", "none", '{ kind = "discretized_normal", levels = 17 }'),
    ],
)
@pytest.mark.parametrize("network", ['{ kind = "gated_mlp", hidden = [8] }', '{ kind = "conv" }'])
def test_one_epoch_trains_every_likelihood_with_every_network(
    kind: str, binarization: str, likelihood: str, network: str, tmp_path: Path
):
    levels = 17 if binarization == "none" else 2
    if '"conv"' in network:
        network = '{ kind = "conv", channels = [8], blocks = [1] }'
    chosen = recipe(
        f"vae.likelihood={likelihood}",
        f"vae.encoder={network}",
        f"vae.decoder={network}",
        f"image.levels={levels}",
        f"image.values={kind}",
        f"image.binarization={binarization}",
        "augmentation.probability=0.5",
        "training.epochs=1",
        "training.checkpoint_seconds=60",
    )
    done = loop.train(chosen, run_dir=tmp_path / "run", device="cpu")
    assert done.skipped_steps == 0
    assert torch.isfinite(torch.tensor(done.best_bound_nats))


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions_train(precision: str, tmp_path: Path):
    chosen = recipe(f"training.precision={precision}", "training.epochs=1")
    assert loop.train(chosen, run_dir=tmp_path / "run", device="cpu").step == 9


def test_mixed_precision_rounds_neither_data_nor_latents_nor_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    log_prob, seen = DiscretizedLogistic.log_prob, []

    def watched(self: DiscretizedLogistic, value: torch.Tensor) -> torch.Tensor:
        found = log_prob(self, value)
        seen.append({value.dtype, self.loc.dtype, self.scale.dtype, found.dtype})
        return found

    monkeypatch.setattr(DiscretizedLogistic, "log_prob", watched)
    chosen = recipe("training.precision=bf16-mixed", "training.epochs=1")
    loop.train(chosen, run_dir=tmp_path / "run", device="cpu")
    assert len(seen) > 9
    assert all(dtypes == {torch.float32} for dtypes in seen)


def test_a_run_starts_from_the_best_weights_of_a_finished_one(uninterrupted: Path):
    chosen = recipe(
        f"start={uninterrupted.name}",
        "objective.kind=iwae",
        "training.kl_warmup_epochs=0",
        "training.epochs=1",
        "optimizer.learning_rate=1e-6",
    )
    run_dir = uninterrupted.parent / "second"
    done = loop.train(chosen, run_dir=run_dir, device="cpu")
    before = json.loads((uninterrupted / STATE).read_text())
    # One step of a tiny rate changes little, and five draws bound log p(x) tighter than one.
    assert before["best_validation_bound_nats"] < done.best_bound_nats
    assert done.best_bound_nats < before["best_validation_bound_nats"] + 10
    assert done.seconds > before["seconds"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            "vae.latent_shape=[3]",
            r"to start from has other values of vae\.latent_shape\. Make them",
        ),
        ("start=nowhere", r"There is no run .*nowhere to start from\. .* vae-lab train nowhere"),
    ],
)
def test_a_run_starts_from_a_finished_run_of_the_same_model_only(
    change: str, fault: str, uninterrupted: Path
):
    chosen = recipe(f"start={uninterrupted.name}", change)
    with pytest.raises(ConfigError, match=fault):
        loop.train(chosen, run_dir=uninterrupted.parent / change, device="cpu")


def test_many_gradients_in_a_row_that_are_not_finite_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hot, "gradient_norm", lambda _: torch.tensor(math.nan))
    chosen = recipe("training.max_skipped_in_a_row=7")
    with pytest.raises(RunError, match=r"the last 7 gradients, up to step 7, .*learning_rate"):
        loop.train(chosen, run_dir=tmp_path / "run", device="cpu")


def test_the_log_has_the_gradients_norm_the_rate_and_memory(uninterrupted: Path):
    for epoch, line in enumerate(read_log(uninterrupted)):
        assert line["gradient_norm"] > 0
        assert 0 < line["learning_rate"] <= recipe().optimizer.learning_rate
        assert 50 * 2**20 < line["peak_memory_bytes"] < 2**40
        assert line["train_kl_weight"] == pytest.approx((epoch + 4 / 9) / 20)  # the mean of 9 steps
        assert line["validation_standard_error_nats"] > 0


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_run_without_a_finite_validation_is_an_error_that_names_the_remedy(
    epochs: int, tmp_path: Path
):
    chosen = recipe(f"training.epochs={epochs}", "optimizer.learning_rate=1e30")
    fault = r"diverged: no validation had a finite bound\. .*--set optimizer\.learning_rate=0\.001"
    with pytest.raises(RunError, match=fault):
        loop.train(chosen, run_dir=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / BEST).exists()
    with pytest.raises(RunError, match=fault):
        loop.train(chosen, run_dir=tmp_path / "run", device="cpu", resume=True)


def test_validations_that_are_not_finite_count_against_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "validate", lambda *_: Validation(math.nan, math.nan))
    with pytest.raises(RunError, match="no validation had a finite bound"):
        loop.train(recipe("training.patience=2"), run_dir=tmp_path / "run", device="cpu")
    state = json.loads((tmp_path / "run" / STATE).read_text())
    assert state["stopped_because"] == "none of the 2 validations was finite"
    assert len(read_log(tmp_path / "run")) == 2


def test_an_infinite_bound_is_not_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    bounds = iter([-5.0, math.inf, -6.0, -7.0])
    monkeypatch.setattr(loop, "validate", lambda *_: Validation(next(bounds), 1.0))
    done = loop.train(recipe(), run_dir=tmp_path / "run", device="cpu")
    assert (done.best_bound_nats, done.best_epoch, done.stale_validations) == (-5.0, 1, 3)


def test_epochs_of_skipped_steps_count_against_patience_and_are_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hot, "gradient_norm", lambda _: torch.tensor(math.nan))
    with pytest.raises(RunError, match="diverged: no step had a finite gradient"):
        loop.train(recipe("training.patience=2"), run_dir=tmp_path / "run", device="cpu")
    state = json.loads((tmp_path / "run" / STATE).read_text())
    assert state["stopped_because"].startswith("the last 2 validations were not better")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "CUDA out of mem"),
        (RuntimeError("[enforce fail] can't allocate memory: 4 TB\nframe 0"), "can't allocate"),
        (MemoryError("Unable to allocate 3 GiB"), "Unable to allocate 3 GiB"),
        (MemoryError(), "training.batch_size = 128"),
        (TypeError('empty(): "Overflow when unpacking long"'), "Overflow"),
    ],
)
def test_a_first_step_without_enough_memory_leaves_no_folder_and_says_what_to_make_smaller(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def failing(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(hot, "update_average", failing)
        with pytest.raises(RunError, match=r"--set training\.batch_size=64") as caught:
            loop.train(recipe(), run_dir=tmp_path / "runs" / "a", device="cpu")
    assert words in str(caught.value)
    assert "frame 0" not in str(caught.value)
    assert not (tmp_path / "runs").exists()
    chosen = recipe("training.epochs=1")
    assert loop.train(chosen, run_dir=tmp_path / "runs" / "a", device="cpu").step == 9


def test_another_error_of_a_step_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(loop, "take_step", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        loop.train(recipe(), run_dir=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_trained_by_two_processes(uninterrupted: Path, tmp_path: Path):
    console = Console(quiet=True)
    with RunLock(uninterrupted, console) as lock:
        lock.acquire()
        with pytest.raises(RunError, match="is being trained by process"):
            loop.train(recipe(), run_dir=uninterrupted, device="cpu", resume=True)
    loop.train(recipe(), run_dir=uninterrupted, device="cpu", resume=True)
    with RunLock(tmp_path / "new", console) as lock:  # it begins while another takes a first step
        lock.acquire()
        with pytest.raises(RunError, match="is being trained by process"):
            loop.train(recipe(), run_dir=tmp_path / "new", device="cpu")
    assert not (tmp_path / "new" / RECIPE).exists()
