"""Means over images: the large K of a few stands for that of all, within its error."""

import pytest
import torch
from pydantic import ValidationError

from models.bundle.schema import Evaluation, Reference
from tests.oracle import instance
from training.data.subset import choose_subset
from training.evaluation.evaluate import EvaluationSettings, evaluate
from training.evaluation.means import Mean, Scores, mean_by_difference, mean_of
from training.evaluation.table import describe_estimator

SETTINGS = EvaluationSettings(
    seed=5,
    elbo_num_samples=2,
    iwae_num_samples=5,
    subset_num_images=60,
    subset_num_samples=(20, 200),
)


def scores(values: torch.Tensor, num_samples: int, places: torch.Tensor) -> Scores:
    return Scores("iwae", num_samples, values, torch.full_like(values, 0.1), places)


def by_difference(small: torch.Tensor, large: torch.Tensor, places: torch.Tensor) -> Mean:
    found = mean_by_difference(
        scores(small, 100, torch.arange(len(small))), scores(large[places], 5000, places)
    )
    assert found is not None
    return found[0]


def test_the_mean_over_all_subsets_is_that_of_the_large_k() -> None:
    """Every pair of five images is as probable as any other: no rounding, no chance."""
    small = torch.tensor([-90.0, -80.0, -101.0, -70.0, -88.0], dtype=torch.float64)
    large = small + torch.tensor([1.0, 0.5, 3.0, 0.2, 0.9], dtype=torch.float64)
    subsets = torch.combinations(torch.arange(5))
    found = torch.stack([by_difference(small, large, pair).nats for pair in subsets])
    assert float(found.mean()) == pytest.approx(float(large.mean()), rel=1e-12)


def test_its_error_is_the_spread_over_new_images_and_subsets() -> None:
    torch.manual_seed(0)
    found, errors = [], []
    for _ in range(4_000):
        small = -85 + 20 * torch.randn(60, dtype=torch.float64)
        large = small + 1 + 8 * torch.rand(60, dtype=torch.float64) - 0.05 * small
        mean = by_difference(small, large, torch.randperm(60)[:15])
        found.append(mean.nats)
        errors.append(mean.error_nats.square())
    spread, stated = torch.stack(found).var(), torch.stack(errors).mean()
    # The relative error of a variance of 4,000 normals is sqrt(2 / 4000) = 2.2 %.
    assert float(stated / spread) == pytest.approx(1, abs=0.08)


def test_a_subset_of_almost_all_has_the_error_of_all() -> None:
    torch.manual_seed(1)
    small = torch.randn(400, dtype=torch.float64)
    large = small + torch.rand(400, dtype=torch.float64)
    some = by_difference(small, large, torch.arange(399))
    every = mean_of(scores(large, 5000, torch.arange(400)))
    assert float(some.error_nats) == pytest.approx(float(every.error_nats), rel=0.02)
    assert float(some.draws_error_nats) == pytest.approx(float(every.draws_error_nats), rel=0.02)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    oracle = instance("medium")
    return evaluate(oracle.vae, oracle.draw(600, seed=2), dataset="oracle", settings=SETTINGS)


def test_an_evaluation_has_the_large_k_of_all_images_within_its_error(
    evaluation: Evaluation,
) -> None:
    oracle = instance("medium")
    whole = evaluate(
        oracle.vae,
        oracle.draw(600, seed=2),
        dataset="oracle",
        settings=SETTINGS.model_copy(
            update={"iwae_num_samples": 200, "subset_num_images": 0, "seed": 6}
        ),
    ).estimates[1]
    found = evaluation.estimates[-1]
    assert found.difference is not None
    assert (found.num_samples, found.n) == (200, 600)
    assert (found.difference.num_samples, found.difference.n) == (5, 60)
    assert describe_estimator(found) == "IWAE, K = 200, by difference"
    assert whole.monte_carlo_error_nats is not None
    # Both are of the same 600 images: they differ by the chance of the subset and of the draws.
    subset = found.standard_error_nats**2 - whole.standard_error_nats**2
    assert abs(found.mean_nats - whole.mean_nats) < 4 * max(subset, 0.02**2) ** 0.5
    # It is far nearer than the subset's own mean is to be expected.
    assert found.standard_error_nats < 0.5 * evaluation.estimates[-2].standard_error_nats


def test_scores_keep_the_places_of_their_images(evaluation: Evaluation) -> None:
    elbo, small, _, large = evaluation.references
    assert sorted(elbo.positions) == sorted(small.positions) == list(range(600))
    assert sorted(large.positions) == sorted(choose_subset(600, 60, seed=5).tolist())
    by_place = dict(zip(small.positions, small.values_nats, strict=True))
    gains = [
        value - by_place[place]
        for place, value in zip(large.positions, large.values_nats, strict=True)
    ]
    mean = evaluation.estimates[1].mean_nats + sum(gains) / len(gains)
    assert evaluation.estimates[-1].mean_nats == pytest.approx(mean, rel=1e-12)


def test_no_difference_without_a_larger_k_or_of_all_images() -> None:
    values = torch.zeros(4, dtype=torch.float64)
    every = scores(values, 100, torch.arange(4))
    assert mean_by_difference(every, scores(values, 5000, torch.arange(4))) is None
    assert mean_by_difference(every, scores(values[:2], 100, torch.arange(2))) is None


@pytest.mark.parametrize("positions", [(0,), (1, 1), (0, 1, 1)])
def test_places_are_one_for_each_score(positions: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="but values_nats 2 scores"):
        Reference(estimator="elbo", num_samples=1, values_nats=(-2.0, -1.0), positions=positions)
