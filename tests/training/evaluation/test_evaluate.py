"""The evaluation against exact values, and against the estimators it uses."""

import pytest
import torch

from models.bundle.schema import Evaluation
from models.errors import InputError, OutOfSupport
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from tests.oracle import Oracle, instance
from training.data.subset import choose_subset
from training.evaluation.evaluate import EvaluationSettings, evaluate

SETTINGS = EvaluationSettings(
    seed=3,
    elbo_num_samples=20,
    iwae_num_samples=30,
    subset_num_images=40,
    subset_num_samples=(50, 200),
)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return instance("medium")


@pytest.fixture(scope="module")
def x(oracle: Oracle) -> torch.Tensor:
    return oracle.draw(130, seed=1)


@pytest.fixture(scope="module")
def evaluation(oracle: Oracle, x: torch.Tensor) -> Evaluation:
    return evaluate(oracle.vae, x, dataset="oracle", settings=SETTINGS)


def test_every_estimate_says_its_samples_images_and_seed(evaluation: Evaluation) -> None:
    assert [(e.estimator, e.num_samples, e.n, e.seed) for e in evaluation.estimates] == [
        ("elbo", 20, 130, 3),
        ("iwae", 30, 130, 3),
        ("iwae", 50, 40, 3),
        ("iwae", 200, 40, 3),
        ("iwae", 200, 130, 3),
    ]
    assert [e.difference is None for e in evaluation.estimates] == [True, True, True, True, False]


def test_elbo_is_the_exact_one_within_its_monte_carlo_error(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    elbo = evaluation.estimates[0]
    assert elbo.monte_carlo_error_nats is not None
    error = abs(elbo.mean_nats - float(oracle.elbo(x).mean()))
    assert error < 4 * elbo.monte_carlo_error_nats


def test_bound_of_large_k_is_log_px_of_the_subset_within_its_error(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    chosen = choose_subset(130, 40, seed=3)
    bound = evaluation.estimates[-2]
    assert bound.monte_carlo_error_nats is not None
    exact = float(oracle.log_px(x[chosen]).mean())
    assert abs(bound.mean_nats - exact) < 4 * bound.monte_carlo_error_nats


def test_rate_is_the_exact_kl_and_sums_its_dimensions(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    assert evaluation.rate_nats == pytest.approx(float(oracle.kl(x).mean()), rel=1e-9)
    assert sum(evaluation.kl_per_dimension_nats) == pytest.approx(evaluation.rate_nats, rel=1e-9)


def test_rate_plus_distortion_is_minus_the_elbo(evaluation: Evaluation) -> None:
    total = evaluation.rate_nats + evaluation.distortion_nats
    assert total == pytest.approx(-evaluation.estimates[0].mean_nats, rel=1e-9)


def test_error_over_images_is_that_of_the_reference_values(evaluation: Evaluation) -> None:
    whole = [estimate for estimate in evaluation.estimates if estimate.difference is None]
    for estimate, reference in zip(whole, evaluation.references, strict=True):
        values = torch.tensor(reference.values_nats, dtype=torch.float64)
        assert len(values) == estimate.n
        assert estimate.mean_nats == pytest.approx(float(values.mean()))
        expected = float(values.std()) / estimate.n**0.5
        assert estimate.standard_error_nats == pytest.approx(expected)


def test_first_images_score_the_same_alone(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    alone = estimate_elbo(oracle.vae, x[:5], num_samples=20, seed=3).elbo_nats
    stored = torch.tensor(evaluation.references[0].values_nats, dtype=torch.float64)
    assert all(bool(torch.isclose(stored, value, rtol=1e-12).any()) for value in alone)


def test_first_images_of_the_subset_score_the_same_alone(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    chosen = choose_subset(130, 40, seed=3)
    alone = estimate_log_px(oracle.vae, x[chosen[:5]], num_samples=50, seed=3).estimate_nats
    stored = torch.tensor(evaluation.references[2].values_nats, dtype=torch.float64)
    assert all(bool(torch.isclose(stored, value, rtol=1e-12).any()) for value in alone)


def test_a_density_has_no_bits_per_dim(evaluation: Evaluation) -> None:
    assert all(estimate.bits_per_dim is None for estimate in evaluation.estimates)


def test_every_latent_of_the_oracle_is_active(evaluation: Evaluation) -> None:
    assert evaluation.active_units == 8


def test_same_seed_gives_the_same_evaluation(
    oracle: Oracle, x: torch.Tensor, evaluation: Evaluation
) -> None:
    again = evaluate(oracle.vae, x, dataset="oracle", settings=SETTINGS)
    assert again == evaluation


def test_subset_can_be_left_out(oracle: Oracle, x: torch.Tensor) -> None:
    settings = EvaluationSettings(elbo_num_samples=2, iwae_num_samples=2, subset_num_images=0)
    evaluation = evaluate(oracle.vae, x[:4], dataset="oracle", settings=settings)
    assert [estimate.estimator for estimate in evaluation.estimates] == ["elbo", "iwae"]


def test_single_sample_has_no_monte_carlo_error(oracle: Oracle, x: torch.Tensor) -> None:
    settings = EvaluationSettings(elbo_num_samples=1, iwae_num_samples=1, subset_num_images=0)
    evaluation = evaluate(oracle.vae, x[:4], dataset="oracle", settings=settings)
    assert evaluation.estimates[0].monte_carlo_error_nats is None


def test_single_image_is_refused(oracle: Oracle, x: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"1 image cannot be evaluated: .* at least 2"):
        evaluate(oracle.vae, x[:1], dataset="oracle")


def test_subset_of_one_image_is_refused(oracle: Oracle, x: torch.Tensor) -> None:
    settings = EvaluationSettings(subset_num_images=1)
    with pytest.raises(InputError, match="--subset 2, or --subset 0 for none") as caught:
        evaluate(oracle.vae, x[:4], dataset="oracle", settings=settings)
    assert caught.value.details == {"parameter": "subset_num_images", "received": 1}


def test_images_outside_the_support_are_refused_before_any_work(
    oracle: Oracle, x: torch.Tensor
) -> None:
    x = x[:4].clone()
    x[2, 0, 0, 0] = torch.nan
    with pytest.raises(OutOfSupport):
        evaluate(oracle.vae, x, dataset="oracle")
