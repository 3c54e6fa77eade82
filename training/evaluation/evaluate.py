"""Evaluation: ELBO, IWAE bounds, rate, distortion and more of held-out images, with errors.

It loads no data and chooses no model. Noise is keyed by an image's position among those scored:
posting the first images of the test set (or of the subset) to the service with the same seed gives
the same numbers.
"""

from dataclasses import replace
from datetime import timedelta
from math import sqrt
from typing import Annotated, Any, cast

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from rich.console import Console
from rich.progress import Task
from torch import Tensor

from models.bundle.schema import Classification, Estimate, Evaluation, Reference
from models.config import Config
from models.errors import InputError
from models.estimators.activity import active_units
from models.estimators.annealed_chains import Annealing, check_annealable
from models.estimators.bounds import bits_per_dim, distortion, rate
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import EvidenceEstimate
from models.noise import MAX_SEED
from models.scores.kinds import AnnealingStart, ScoreKind
from models.vae.model import VAE
from training.data.subset import choose_subset
from training.evaluation.annealing import score_by_annealing
from training.evaluation.means import Mean, Scores, mean_by_difference, mean_of
from training.evaluation.scoring import BATCH_SIZE, Images, Labels, Scorer
from training.evaluation.unfinished import Unfinished
from training.progress_bar import ProgressBar

_MAX_BATCH_SAMPLES = 125_000
"""Images x samples between two updates of the progress bar."""


class EvaluationSettings(Config):
    """How many samples and images each estimate uses."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    num_images: NonNegativeInt = 0
    """Random test images that are scored, the same every time; 0 for all."""
    elbo_num_samples: PositiveInt = 100
    iwae_num_samples: PositiveInt = 100
    """K of the IWAE bound of every image."""
    subset_num_images: NonNegativeInt = 1_000
    """Images, chosen by the seed, that also get the bounds of large K; 0 leaves these out."""
    subset_num_samples: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1_000, 5_000)
    """Ascending; each smaller K is a prefix of the largest one's draws."""
    ais_num_images: NonNegativeInt = 0
    """Random test images that are also scored by annealing; 0 for none."""
    bdmc_num_images: NonNegativeInt = 0
    """Images of the model's own whose log p(x) is bounded from both sides; 0 for none."""
    ais_num_steps: Annotated[int, Field(ge=2)] = Annealing.num_steps
    ais_start: AnnealingStart = Annealing.start

    @property
    def anneals(self) -> bool:
        """Whether anything is annealed."""
        return self.ais_num_images > 0 or self.bdmc_num_images > 0

    @property
    def annealing(self) -> Annealing:
        """Where annealed chains start, and how long they are."""
        return Annealing(start=self.ais_start, num_steps=self.ais_num_steps)


def evaluate(
    vae: VAE,
    x: Images,
    *,
    labels: Labels | None = None,
    dataset: str,
    split: str = "test",
    settings: EvaluationSettings | None = None,
    device: str | torch.device = "cpu",
    console: Console | None = None,
    unfinished: Unfinished | None = None,
) -> Evaluation:
    """Score a model on held-out images.

    Args:
        vae: The model; it is moved to the device and put into eval mode.
        x: The images in the likelihood's support, in the order of the split. `num_images` of the
            settings has chosen them already.
        labels: The images' labels, for the accuracy of a model with labels. The bounds are on
            log p(x) and do not use them.
        dataset: The data set's name, for the record.
        split: Which part of it, for the record.
        settings: Numbers of samples and images; the published ones by default.
        device: Where to compute.
        console: Where to show progress; nowhere by default.
        unfinished: What an interrupted call has scored, which is not scored again.

    Raises:
        InputError: Fewer than two images, or a subset of one.
        UnsupportedOperation: Annealing is asked for, and the model cannot be annealed.
        OutOfSupport: An image has probability zero under every latent.
    """
    settings = settings or EvaluationSettings()
    vae = vae.to(device).freeze()
    vae.check_support(x)
    _check_num_images(len(x), settings)
    if settings.anneals:
        check_annealable(vae, labels)
    with ProgressBar(_image_words, console=console) as progress:
        scorer = Scorer(vae, x, progress=progress, unfinished=unfinished)
        has_dimensions = vae.config.encoder is not None
        units = active_units(scorer.activity()) if has_dimensions else 0
        if vae.has_density:
            results = _score_bounds(scorer, settings)
            if labels is not None and vae.num_labels:
                results["classification"] = _classify(scorer, labels, settings)
            results |= score_by_annealing(
                scorer,
                labels,
                settings=settings.annealing,
                num_images=settings.ais_num_images,
                num_simulated=settings.bdmc_num_images,
                seed=settings.seed,
            )
        else:
            error = float(scorer.squared_errors().mean())
            results = {"estimates": (), "squared_error": error}
    return Evaluation(
        dataset=dataset, split=split, num_images=len(x), active_units=units, **results
    )


def _image_words(task: Task) -> list[str]:
    elapsed = timedelta(seconds=int(task.elapsed or 0))
    return [f"{task.completed:,.0f}/{task.total:,.0f} images", f"in {elapsed}"]


def _check_num_images(count: int, settings: EvaluationSettings) -> None:
    if count < 2:
        raise InputError(
            f"{count} image{'s' if count != 1 else ''} cannot be evaluated: a standard error needs "
            "at least 2. Score more images."
        )
    for name, flag in (
        ("subset_num_images", "--subset"),
        ("ais_num_images", "--ais-images"),
        ("bdmc_num_images", "--bdmc-images"),
    ):
        if getattr(settings, name) == 1:
            raise InputError(
                f"A subset of 1 image has no standard error; it needs at least 2. Take {flag} 2, "
                f"or {flag} 0 for none.",
                parameter=name,
                received=1,
            )


def _score_bounds(scorer: Scorer, settings: EvaluationSettings) -> dict[str, Any]:
    """The fields of an evaluation that come from bounds on log p(x)."""
    vae, seed = scorer.vae, settings.seed
    elbo = scorer.elbo(num_samples=settings.elbo_num_samples, seed=seed)
    everyone = torch.arange(len(scorer.x))
    log_px = _score_log_px(scorer, settings)
    scores = [Scores("elbo", elbo.num_samples, elbo.elbo_nats, elbo.standard_error_nats, everyone)]
    scores += log_px
    estimates = [_summarise(vae, found, mean_of(found), seed=seed) for found in scores]
    if (by_difference := mean_by_difference(log_px[0], log_px[-1])) is not None:
        mean, difference = by_difference
        estimate = _summarise(vae, log_px[-1], mean, seed=seed)
        estimates.append(estimate.model_copy(update={"difference": difference}))
    return {
        "estimates": tuple(estimates),
        "rate_nats": rate(elbo.kl_nats),
        "distortion_nats": distortion(elbo.expected_log_likelihood_nats),
        "kl_per_dimension_nats": _means(elbo.kl_per_dimension_nats),
        "kl_per_group_nats": _means(elbo.kl_per_group_nats),
        "references": tuple(map(_refer, scores)),
    }


def _score_log_px(scorer: Scorer, settings: EvaluationSettings) -> list[Scores]:
    """The exact log p(x); or IWAE bounds of all images, then of large K of the subset."""
    seed, everyone = settings.seed, torch.arange(len(scorer.x))
    if has_exact_posterior(scorer.vae):
        exact = scorer.log_px(num_samples=(1,), seed=seed, estimator="exact")
        return [_of_log_px(found, everyone) for found in exact]
    whole = (settings.iwae_num_samples,)
    chosen = choose_subset(len(scorer.x), settings.subset_num_images, seed=seed)
    scores = []
    for places, num_samples in ((everyone, whole), (chosen, settings.subset_num_samples)):
        size = min(BATCH_SIZE, max(1, _MAX_BATCH_SAMPLES // num_samples[-1]))
        if len(places) > 0:
            some = replace(scorer, x=scorer.x[places], batch_size=size)
            found = some.log_px(num_samples=num_samples, seed=seed)
            scores += [_of_log_px(at_k, places) for at_k in found]
    return scores


def _of_log_px(found: EvidenceEstimate, places: Tensor) -> Scores:
    values, errors = found.estimate_nats, found.standard_error_nats
    kind = cast(ScoreKind, found.estimator)  # of importance sampling
    return Scores(kind, found.common_num_samples, values, errors, places)


def _classify(scorer: Scorer, labels: Labels, settings: EvaluationSettings) -> Classification:
    direct = scorer.vae.config.classifier is not None
    num_samples = 1 if direct else settings.elbo_num_samples
    log_q = scorer.label_log_probs(num_samples=num_samples, seed=settings.seed)
    accuracy = int((log_q.argmax(1) == labels).sum()) / len(labels)
    return Classification(
        method="classifier" if direct else "bayes",
        num_samples=0 if direct else num_samples,
        n=len(labels),
        accuracy=accuracy,
        standard_error=sqrt(accuracy * (1 - accuracy) / len(labels)),
    )


def _summarise(vae: VAE, scores: Scores, mean: Mean, *, seed: int) -> Estimate:
    bits = float(bits_per_dim(mean.nats, vae.config.num_dimensions)) if vae.is_mass else None
    return Estimate(
        estimator=scores.estimator,
        num_samples=scores.num_samples,
        n=mean.n,
        seed=seed,
        mean_nats=float(mean.nats),
        standard_error_nats=float(mean.error_nats),
        monte_carlo_error_nats=_or_none(mean.draws_error_nats),
        bits_per_dim=bits,
    )


def _refer(scores: Scores) -> Reference:
    values, order = scores.values_nats.sort()
    return Reference(
        estimator=scores.estimator,
        num_samples=scores.num_samples,
        values_nats=tuple(values.tolist()),
        positions=tuple(scores.places[order.cpu()].tolist()),
    )


def _or_none(value: Tensor) -> float | None:
    """None for what a single image or a single sample leaves undefined."""
    return float(value) if value.isfinite() else None


def _means(rows: Float[Tensor, "image ..."] | None) -> tuple[float, ...]:
    """Data means, in C order; none where there are no rows."""
    return () if rows is None else tuple(rows.mean(0).flatten().tolist())
