"""Rate and distortion of models side by side; it draws no figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from training.studies.bounds import score
from training.studies.statistics import mean_and_error
from training.studies.subjects import Subject, check_comparable, need_density, need_run


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
