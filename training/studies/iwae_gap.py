"""What training with K draws came to; it draws no figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import ConfigError
from models.estimators.bounds import active_units
from training.evaluation.evaluate import posterior_means
from training.studies.bounds import score
from training.studies.statistics import mean_and_error
from training.studies.subjects import Subject, check_comparable, need_run


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
