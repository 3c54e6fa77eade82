"""Bounds on log p(x) of several models, with paired differences over the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from models.estimators.elbo import ElboEstimate
from models.estimators.exact import has_exact_posterior
from training.evaluation.scoring import Scorer, name_estimator
from training.evaluation.trained import TrainedModel
from training.studies.requirements import require_density, require_same_images
from training.studies.statistics import mean_and_error, paired


@dataclass(frozen=True)
class Bounds:
    """Bounds of each image, nats, float64."""

    elbo: ElboEstimate
    log_px_nats: Tensor
    """The exact log p(x) where the posterior is exact, otherwise an IWAE bound."""
    estimator: str
    """The name of `log_px_nats`."""


def score_bounds(model: TrainedModel, *, elbo_samples: int, iwae_samples: int, seed: int) -> Bounds:
    """The ELBO, and an IWAE bound or the exact log p(x), of each image.

    They are those of `vae-lab evaluate` with the same seed and all images.

    Args:
        model: The model and its images.
        elbo_samples: Draws per image for the ELBO.
        iwae_samples: K of the IWAE bound.
        seed: Seed of the noise.

    Raises:
        UnsupportedOperation: An autoencoder has no bounds.
    """
    require_density(model)
    scorer = Scorer(model.vae, model.x)
    (log_px,) = scorer.log_px(
        num_samples=(iwae_samples,),
        seed=seed,
        estimator="exact" if has_exact_posterior(model.vae) else "iwae",
    )
    elbo = scorer.elbo(num_samples=elbo_samples, seed=seed)
    name = name_estimator(log_px.estimator, log_px.common_num_samples)
    return Bounds(elbo, log_px.estimate_nats, name)


@dataclass(frozen=True)
class BoundsRow:
    """A model's bounds, and their differences to the first model's on the same images."""

    model: str
    n: int
    elbo_nats: float
    elbo_error_nats: float
    estimator: str
    log_px_nats: float
    log_px_error_nats: float
    elbo_difference_nats: float
    elbo_difference_low_nats: float
    """Lower end of the 95 % interval of the mean of paired differences."""
    elbo_difference_high_nats: float
    log_px_difference_nats: float
    log_px_difference_low_nats: float
    log_px_difference_high_nats: float


def compare_bounds(
    models: Sequence[TrainedModel],
    *,
    elbo_samples: int = 100,
    iwae_samples: int = 100,
    seed: int = 0,
) -> list[BoundsRow]:
    """ELBO, and IWAE bound or exact log p(x), of models on the same images.

    Raises:
        ConfigError: The models score different images, or one by masses and another by densities.
        UnsupportedOperation: An autoencoder is among them.
    """
    for model in models:
        require_density(model)
        require_same_images(models[0], model)
    scored = [
        score_bounds(model, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
        for model in models
    ]
    first = scored[0]
    return [
        BoundsRow(
            model.name,
            len(model.x),
            *mean_and_error(own.elbo.elbo_nats),
            own.estimator,
            *mean_and_error(own.log_px_nats),
            *paired(own.elbo.elbo_nats, first.elbo.elbo_nats),
            *paired(own.log_px_nats, first.log_px_nats),
        )
        for model, own in zip(models, scored, strict=True)
    ]


def conclude(rows: Sequence[BoundsRow]) -> list[str]:
    """What the paired differences say of each model but the first, a sentence for each bound."""
    first, sentences = rows[0], []
    for row in rows[1:]:
        other = row.estimator
        if other != first.estimator:
            other = f"{other} against {first.estimator}"
        for name, part in (("ELBO", "elbo"), (other, "log_px")):
            mean, low, high = (
                getattr(row, f"{part}_difference_{end}nats") for end in ("", "low_", "high_")
            )
            verdict = "higher" if low > 0 else "lower" if high < 0 else "not told apart"
            sentences.append(
                f"{row.model} less {first.model}, {name}: {mean:+.2f} nats per image, 95 % from "
                f"{low:+.2f} to {high:+.2f}: {verdict}."
            )
    return sentences
