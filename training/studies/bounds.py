"""Scores of trained models side by side, each with its error; it draws no figure.

A study is a function from models to rows, and a field of a row carries its unit. What a latent
does is in `latents.py`, what lies in a gradient in `gradients.py`, how rows look in `plots.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.estimators.elbo import ElboEstimate, estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import estimate_log_px
from training.studies.statistics import mean_and_error, paired
from training.studies.subjects import Subject, check_comparable, need_density

_BATCH = 100


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
