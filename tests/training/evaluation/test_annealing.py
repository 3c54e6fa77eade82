"""What an evaluation says by annealing: against exact values, and what is refused."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from models.bundle.schema import Annealed, Bidirectional, Evaluation
from models.errors import InputError, UnsupportedOperation
from models.estimators import annealed_chains
from models.estimators.annealing import bound_both_sides, estimate_annealed_log_px
from models.estimators.refine import estimate_refined_log_px
from models.estimators.simulated import simulate
from tests.oracle import Oracle, instance, labelled
from tests.training.trained_cases import of_family
from training.data.subset import choose_subset
from training.evaluation import unfinished
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.table import format_evaluation, list_annealed
from training.evaluation.unfinished import Unfinished


@pytest.fixture(autouse=True, scope="module")
def _short_pilot_run() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(annealed_chains, "PLACES", 4)
        patch.setattr(annealed_chains, "PILOT_MOVES", 4)
        yield


SETTINGS = EvaluationSettings(
    seed=3,
    elbo_num_samples=2,
    iwae_num_samples=2,
    subset_num_images=0,
    ais_num_images=12,
    bdmc_num_images=11,
    ais_num_steps=10,
)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return instance("medium")


@pytest.fixture(scope="module")
def x(oracle: Oracle) -> torch.Tensor:
    return oracle.draw(40, seed=1)


@pytest.fixture(scope="module")
def evaluation(oracle: Oracle, x: torch.Tensor) -> Evaluation:
    return evaluate(oracle.vae, x, dataset="oracle", settings=SETTINGS)


def annealed_of(evaluation: Evaluation) -> Annealed:
    assert evaluation.annealed is not None
    return evaluation.annealed


def bounds_of(evaluation: Evaluation) -> Bidirectional:
    assert evaluation.bidirectional is not None
    return evaluation.bidirectional


def test_a_random_subset_is_annealed_in_batches_as_it_is_at_once(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    some = x[choose_subset(40, 12, seed=3)]
    alone = estimate_annealed_log_px(oracle.vae, some, seed=3, settings=SETTINGS.annealing)
    refined = estimate_refined_log_px(oracle.vae, some, num_samples=1_000, seed=3)
    found = annealed_of(evaluation)
    assert (found.start, found.num_steps, found.num_chains, found.n, found.seed) == (
        *("refined", 10, 16, 12),
        3,
    )
    assert found.mean_nats == pytest.approx(float(alone.estimate_nats.mean()), rel=1e-12)
    assert found.acceptance_rate == pytest.approx(float(alone.acceptance_rate.mean()))
    assert found.refined is not None
    assert found.refined.mean_nats == pytest.approx(float(refined.estimate_nats.mean()))
    apart = alone.estimate_nats - refined.estimate_nats
    assert found.refined.difference_nats == pytest.approx(float(apart.mean()))
    assert found.refined.difference_error_nats == pytest.approx(float(apart.std()) / 12**0.5)


def test_the_mean_is_log_px_within_the_error_of_the_chains(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    found = annealed_of(evaluation)
    exact = oracle.log_px(x[choose_subset(40, 12, seed=3)])
    assert abs(found.mean_nats - float(exact.mean())) < 4 * found.monte_carlo_error_nats
    assert found.bits_per_dim is None
    assert not found.given_labels


def test_images_of_the_models_own_are_bounded_from_both_sides(
    oracle: Oracle, evaluation: Evaluation
) -> None:
    made = simulate(oracle.vae, 11, seed=3)
    alone = bound_both_sides(oracle.vae, made, seed=3, settings=SETTINGS.annealing)
    found, exact = bounds_of(evaluation), float(oracle.log_px(made.x).mean())
    assert found.n == 11
    assert found.lower_nats == pytest.approx(float(alone.estimate_nats.mean()), rel=1e-12)
    assert found.gap_nats == pytest.approx(found.upper_nats - found.lower_nats)
    assert found.gap_error_nats == pytest.approx(float(alone.gap_nats.std()) / 11**0.5)
    assert found.lower_nats - 0.3 < exact < found.upper_nats + 0.3


def test_an_evaluation_with_annealing_is_read_as_it_is_written(evaluation: Evaluation) -> None:
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_rows_have_images_nats_and_errors(evaluation: Evaluation) -> None:
    names = [row[0] for row in list_annealed(evaluation)]
    assert names == [
        "AIS from refined q, 10 steps",
        "refined, K = 1,000, the same images",
        "AIS minus refined",
        "BDMC gap, simulated images",
    ]
    console = Console(file=StringIO(), width=120)
    console.print(format_evaluation(evaluation))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(name in printed for name in names)
    assert f"{bounds_of(evaluation).gap_nats:.3f}" in printed


def test_nothing_is_annealed_unless_it_is_asked_for(oracle: Oracle, x: torch.Tensor) -> None:
    settings = SETTINGS.model_copy(update={"ais_num_images": 0, "bdmc_num_images": 0})
    found = evaluate(oracle.vae, x[:3], dataset="oracle", settings=settings)
    assert found.annealed is None
    assert found.bidirectional is None
    assert list_annealed(found) == []


def test_a_model_with_labels_is_scored_given_them() -> None:
    model = labelled(posterior_scale=1.0)
    x, y = model.draw(6), torch.arange(6) % 3
    found = evaluate(model.vae, x, labels=y, dataset="oracle", settings=SETTINGS)
    annealed, bounds = annealed_of(found), bounds_of(found)
    assert annealed.given_labels
    exact = model.log_px_given_y(x).gather(1, y[:, None])
    assert annealed.mean_nats == pytest.approx(float(exact.mean()), abs=0.2)
    assert abs(bounds.gap_nats) < 0.3
    assert list_annealed(found)[0][0] == "AIS from refined q, 10 steps, given the labels"
    with pytest.raises(UnsupportedOperation, match="no label was given"):
        evaluate(model.vae, x, dataset="oracle", settings=SETTINGS)


@pytest.mark.parametrize(("name", "words"), [("categorical", "discrete"), ("autoencoder", "prior")])
def test_a_model_without_gradients_is_refused_before_any_work(name: str, words: str) -> None:
    model = of_family(name)
    with pytest.raises(UnsupportedOperation, match=f"cannot be annealed: .*{words}"):
        evaluate(model.vae, model.x, dataset="digits", settings=SETTINGS)


@pytest.mark.parametrize("kind", ["ais", "bdmc"])
def test_one_image_is_refused(oracle: Oracle, x: torch.Tensor, kind: str) -> None:
    settings = EvaluationSettings.model_validate({f"{kind}_num_images": 1})
    with pytest.raises(InputError, match=f"Take --{kind}-images 2, or --{kind}-images 0"):
        evaluate(oracle.vae, x, dataset="oracle", settings=settings)


def test_bounds_of_an_interrupted_evaluation_are_kept(
    oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "_WRITE_SECONDS", 0.0)
    made = simulate(oracle.vae, 2, seed=3)
    found = bound_both_sides(oracle.vae, made, seed=3, settings=SETTINGS.annealing)
    Unfinished(tmp_path, "weights").keep("BDMC", [found])
    (kept,) = Unfinished(tmp_path, "weights").batches("BDMC")
    assert torch.equal(kept.gap_nats, found.gap_nats)
    assert (kept.start, kept.seed) == ("refined", 3)
