"""The scoring loop: the same numbers whatever the batches, and one row per image."""

import pytest
import torch

from models.estimators.bounds import squared_error
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.estimators.labels import classify_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from tests.training.trained_cases import of_family
from training.evaluation.scoring import Scorer, name_estimator
from training.progress_bar import ProgressBar


def scorer_of(family: str, **options: int) -> Scorer:
    """A scorer of twelve images in batches of five."""
    model = of_family(family)
    return Scorer(model.vae, model.x, **{"batch_size": 5, **options})


def test_an_elbo_has_the_draws_of_each_images_position_in_every_batch() -> None:
    scorer = scorer_of("ladder")
    found = scorer.elbo(num_samples=3, seed=2)
    whole = estimate_elbo(scorer.vae, scorer.x, num_samples=3, seed=2)
    for name in ("elbo_nats", "kl_nats", "expected_log_likelihood_nats", "kl_per_group_nats"):
        assert torch.allclose(getattr(found, name), getattr(whole, name), rtol=1e-5)
    assert found.kl_per_dimension_nats is None
    assert (found.num_samples, found.seed) == (3, 2)


def test_log_px_is_estimated_at_each_k_from_one_stream_of_draws() -> None:
    scorer = scorer_of("standard")
    small, large = scorer.log_px(num_samples=(4, 9), seed=2)
    for found, count in ((small, 4), (large, 9)):
        whole = estimate_log_px(scorer.vae, scorer.x, num_samples=count, seed=2)
        assert torch.allclose(found.estimate_nats, whole.estimate_nats, rtol=1e-5)
        assert len(found.weights_look_regular) == len(found.reason) == 12
        assert found.log_px_interval_nats.shape == found.bound_interval_nats.shape == (12, 2)
        assert found.num_samples == count


def test_labels_are_given_to_bounds_batch_by_batch() -> None:
    model = of_family("label-prior")
    found = Scorer(model.vae, model.x, model.labels, batch_size=5).elbo(num_samples=2, seed=1)
    whole = estimate_elbo(model.vae, model.x, num_samples=2, seed=1, y=model.labels)
    assert torch.allclose(found.elbo_nats, whole.elbo_nats, rtol=1e-5)
    (bound,) = Scorer(model.vae, model.x, model.labels, batch_size=5).log_px(
        num_samples=(3,), seed=1
    )
    given = estimate_log_px(model.vae, model.x, num_samples=3, seed=1, y=model.labels)
    assert torch.allclose(bound.estimate_nats, given.estimate_nats, rtol=1e-5)


@pytest.mark.parametrize("family", ["m2", "label-prior"])
def test_label_probabilities_sum_to_one_and_are_those_of_all_images(family: str) -> None:
    scorer = scorer_of(family)
    found = scorer.label_log_probs(num_samples=3, seed=4)
    steps = classify_steps(scorer.vae, scorer.x, num_samples=3, seed=4, chunk_rows=CHUNK_ROWS)
    assert torch.allclose(found, run_steps(steps), rtol=1e-4)
    assert torch.allclose(found.exp().sum(1), torch.ones(12))


def test_posterior_means_and_squared_errors_are_those_of_the_model() -> None:
    scorer = scorer_of("autoencoder")
    mean = scorer.vae.posterior(scorer.x).mean
    assert torch.allclose(scorer.posterior_means(), mean)
    assert torch.allclose(scorer.squared_errors(), squared_error(scorer.vae, scorer.x).double())


def test_progress_counts_the_images_of_each_estimate() -> None:
    model = of_family("standard")
    progress = ProgressBar(console=None)
    scorer = Scorer(model.vae, model.x, batch_size=5, progress=progress)
    scorer.elbo(num_samples=2, seed=0)
    scorer.log_px(num_samples=(2, 1_000), seed=0)
    counts = [(task.description, task.completed, task.total) for task in progress.tasks]
    assert counts == [("ELBO, 2 draws", 12, 12), ("IWAE, K = 1,000", 12, 12)]


@pytest.mark.parametrize(
    ("estimator", "num_samples", "name"),
    [
        ("elbo", 20, "ELBO, 20 draws"),
        ("iwae", 5_000, "IWAE, K = 5,000"),
        ("exact", 1, "log p(x), exact"),
    ],
)
def test_an_estimator_is_named_with_its_samples(
    estimator: str, num_samples: int, name: str
) -> None:
    assert name_estimator(estimator, num_samples) == name
