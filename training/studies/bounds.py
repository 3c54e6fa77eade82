"""Scores of trained models side by side, each with its error; it draws no figure.

A study is a function from models to rows, and a field of a row carries its unit. What a latent
does is in `latents.py`, what lies in a gradient in `gradients.py`, how rows look in `plots.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from models.errors import ConfigError, UnsupportedOperation
from models.estimators.bounds import active_units
from models.estimators.elbo import ElboEstimate, estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import estimate_log_px
from models.estimators.labels import classify_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from training.evaluation.evaluate import posterior_means
from training.fit.batches import keep_some
from training.fit.objectives import UNLABELLED
from training.recipes.recipe import Recipe
from training.studies.subjects import Subject, check_comparable, need_density, need_run

_NORMAL_975 = 1.959963984540054
_BATCH = 100


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean over images, and its standard error sd / sqrt(n); NaN for a single one."""
    exact = values.double()
    if len(exact) < 2:
        return float(exact.mean()), nan
    return float(exact.mean()), float(exact.std() / sqrt(len(exact)))


@dataclass(frozen=True)
class Scores:
    """Bounds of each image, nats, float64, (batch,)."""

    elbo_nats: Tensor
    kl_nats: Tensor
    expected_log_likelihood_nats: Tensor
    log_px_nats: Tensor | None
    """The exact log p(x) where the posterior is exact, otherwise an IWAE bound."""
    estimator: str
    """What `log_px_nats` is, in words."""


def score(
    subject: Subject, *, elbo_samples: int = 100, iwae_samples: int = 0, seed: int = 0
) -> Scores:
    """Bounds of each image: those of `vae-lab evaluate` with the same seed and all images.

    Args:
        subject: The model and its images.
        elbo_samples: Draws per image for the ELBO.
        iwae_samples: K of the IWAE bound; 0 leaves it out.
        seed: Of the noise.

    Raises:
        UnsupportedOperation: An autoencoder has no bounds.
    """
    need_density(subject)
    exact = has_exact_posterior(subject.vae)
    elbos: list[ElboEstimate] = []
    log_px: list[Tensor] = []
    for start in range(0, len(subject.x), _BATCH):
        x = subject.x[start : start + _BATCH]
        elbos.append(
            estimate_elbo(subject.vae, x, num_samples=elbo_samples, seed=seed, first_item=start)
        )
        if iwae_samples > 0:
            estimate = estimate_log_px(
                subject.vae,
                x,
                num_samples=iwae_samples,
                seed=seed,
                estimator="exact" if exact else "iwae",
                first_item=start,
            )
            log_px.append(estimate.estimate_nats)
    return Scores(
        torch.cat([estimate.elbo_nats for estimate in elbos]),
        torch.cat([estimate.kl_nats for estimate in elbos]),
        torch.cat([estimate.expected_log_likelihood_nats for estimate in elbos]),
        torch.cat(log_px) if log_px else None,
        "log p(x), exact" if exact else f"IWAE, K = {iwae_samples:,}",
    )


@dataclass(frozen=True)
class BoundsRow:
    """A model's bounds, and by how much they differ from the first model's on the same images."""

    model: str
    n: int
    elbo_nats: float
    elbo_error_nats: float
    estimator: str
    log_px_nats: float
    log_px_error_nats: float
    elbo_difference_nats: float
    elbo_difference_low_nats: float
    """Of the interval that covers the mean of paired differences with 95 %."""
    elbo_difference_high_nats: float
    log_px_difference_nats: float
    log_px_difference_low_nats: float
    log_px_difference_high_nats: float


def compare_bounds(
    subjects: Sequence[Subject],
    *,
    elbo_samples: int = 100,
    iwae_samples: int = 100,
    seed: int = 0,
) -> list[BoundsRow]:
    """ELBO, and IWAE bound or exact log p(x), of models on the very same images.

    Raises:
        ConfigError: The models see other images, or one's score is a mass and another's a density.
        UnsupportedOperation: An autoencoder is among them.
    """
    for subject in subjects:
        need_density(subject)
        check_comparable(subjects[0], subject)
    scored = [
        score(subject, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
        for subject in subjects
    ]
    return [_bounds_row(s, own, scored[0]) for s, own in zip(subjects, scored, strict=True)]


def _bounds_row(subject: Subject, own: Scores, first: Scores) -> BoundsRow:
    assert own.log_px_nats is not None
    assert first.log_px_nats is not None
    return BoundsRow(
        subject.name,
        len(subject.x),
        *mean_and_error(own.elbo_nats),
        own.estimator,
        *mean_and_error(own.log_px_nats),
        *paired(own.elbo_nats, first.elbo_nats),
        *paired(own.log_px_nats, first.log_px_nats),
    )


def paired(values: Tensor, others: Tensor) -> tuple[float, float, float]:
    """The mean of values - others over the same images, and its normal interval of 95 %."""
    mean, error = mean_and_error(values - others)
    return mean, mean - _NORMAL_975 * error, mean + _NORMAL_975 * error


@dataclass(frozen=True)
class RateRow:
    """A point of the rate-distortion plane."""

    model: str
    beta: float
    """Weight of the KL in training; NaN where the objective has none."""
    n: int
    rate_nats: float
    rate_error_nats: float
    distortion_nats: float
    distortion_error_nats: float
    elbo_nats: float
    elbo_error_nats: float


def rate_distortion(subjects: Sequence[Subject], *, num_samples: int = 100) -> list[RateRow]:
    """Rate, distortion and their sum, minus the ELBO, by rising rate.

    Raises:
        ConfigError: A bundle, or models that do not compare.
        UnsupportedOperation: An autoencoder is among them.

    Source: Alemi et al. 2018, arXiv:1711.00464.
    """
    rows = []
    for subject in subjects:
        objective = need_run(subject).objective
        need_density(subject)
        check_comparable(subjects[0], subject)
        scores = score(subject, elbo_samples=num_samples)
        rows.append(
            RateRow(
                subject.name,
                float(getattr(objective, "beta", nan)),
                len(subject.x),
                *mean_and_error(scores.kl_nats),
                *mean_and_error(-scores.expected_log_likelihood_nats),
                *mean_and_error(scores.elbo_nats),
            )
        )
    return sorted(rows, key=lambda row: row.rate_nats)


@dataclass(frozen=True)
class GapRow:
    """What training with K draws came to."""

    model: str
    num_samples: int
    """K of training; 1 for the ELBO."""
    gradient: str
    n: int
    elbo_nats: float
    elbo_error_nats: float
    estimator: str
    log_px_nats: float
    log_px_error_nats: float
    gap_nats: float
    """Of the second bound over the ELBO on the same images."""
    gap_error_nats: float
    active_units: int


def iwae_gap(
    subjects: Sequence[Subject], *, elbo_samples: int = 100, iwae_samples: int = 100, seed: int = 0
) -> list[GapRow]:
    """Bounds of models that were trained by the ELBO or by IWAE bounds, by rising K.

    Raises:
        ConfigError: Trained otherwise, a bundle, or models that do not compare.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, table 1; Rainforth et al. 2018,
        arXiv:1802.04537, on why tighter bounds need not train better encoders.
    """
    rows = []
    for subject in subjects:
        objective = need_run(subject).objective
        if objective.kind not in ("elbo", "iwae"):
            raise ConfigError(
                f"K is that of the objectives elbo (K = 1) and iwae; {subject.name} was trained by "
                f"{objective.kind}. Leave it out."
            )
        check_comparable(subjects[0], subject)
        scores = score(subject, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
        assert scores.log_px_nats is not None
        rows.append(
            GapRow(
                subject.name,
                objective.num_samples if objective.kind == "iwae" else 1,
                getattr(objective, "gradient", "elbo"),
                len(subject.x),
                *mean_and_error(scores.elbo_nats),
                scores.estimator,
                *mean_and_error(scores.log_px_nats),
                *mean_and_error(scores.log_px_nats - scores.elbo_nats),
                active_units(posterior_means(subject.vae, subject.x)),
            )
        )
    return sorted(rows, key=lambda row: row.num_samples)


@dataclass(frozen=True)
class AccuracyRow:
    """How often a model that knew some labels names the right one."""

    model: str
    num_labels: int
    """Training images whose label it knew."""
    seed: int
    n: int
    accuracy: float
    accuracy_error: float
    regression_accuracy: float
    """Of logistic regression on the pixels of the same labelled images."""
    regression_error: float


def label_accuracy(subjects: Sequence[Subject], *, num_samples: int = 100) -> list[AccuracyRow]:
    """Accuracy on the test images, by the number of training labels.

    Args:
        subjects: Runs of models with labels.
        num_samples: Draws for each label where there is no classifier.

    Raises:
        ConfigError: A bundle, or data without labels.
        UnsupportedOperation: The model has no labels.

    Source: Kingma et al. 2014, arXiv:1406.5298, table 1.
    """
    rows = []
    for subject in subjects:
        recipe, vae, truth = need_run(subject), subject.vae, subject.labels
        if not vae.num_labels or truth is None:
            raise UnsupportedOperation(
                f"Accuracy is that of a model with labels; {subject.name} has none. Leave it out."
            )
        right = [
            run_steps(
                classify_steps(
                    vae,
                    subject.x[start : start + _BATCH],
                    num_samples=num_samples,
                    seed=0,
                    first_item=start,
                    chunk_rows=CHUNK_ROWS,
                )
            ).argmax(1)
            == truth[start : start + _BATCH]
            for start in range(0, len(subject.x), _BATCH)
        ]
        known, regression = regress(subject, recipe)
        rows.append(
            AccuracyRow(
                subject.name,
                known,
                recipe.seed,
                len(subject.x),
                *proportion(torch.cat(right)),
                *proportion(regression),
            )
        )
    return sorted(rows, key=lambda row: row.num_labels)


def proportion(right: Tensor) -> tuple[float, float]:
    """A share, and its standard error sqrt(p (1 - p) / n)."""
    share = float(right.double().mean())
    return share, sqrt(share * (1 - share) / len(right))


def regress(subject: Subject, recipe: Recipe) -> tuple[int, Tensor]:
    """The run's number of known labels, and where logistic regression on them is right.

    scikit-learn's, with its own penalty, on pixels from 0 to 1.
    """
    train, truth = subject.dataset.train, subject.labels
    assert train.labels is not None
    assert truth is not None
    labels = torch.from_numpy(train.labels)
    if recipe.dataset.labels_per_class > 0:
        labels = keep_some(labels, recipe.dataset.labels_per_class, seed=recipe.seed)
    known = np.flatnonzero(labels != UNLABELLED)
    x = train.take(known).observations(subject.spec).reshape(len(known), -1)
    scale = subject.vae.unit_scale
    model = LogisticRegression(max_iter=1_000).fit(x / scale, labels[known].numpy())
    guessed = model.predict(subject.x.flatten(1).numpy() / scale)
    return len(known), torch.from_numpy(guessed) == truth
