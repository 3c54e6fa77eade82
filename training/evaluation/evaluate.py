"""What a trained model scores on held-out images, with errors: ELBO, IWAE bounds, rate, distortion.

It holds no formula of its own (`models.bounds`, `models.evidence`), loads no data and chooses no
model. Noise is keyed by an image's position among those scored, so that posting the first images
of the test set (or of the subset) to the service with the same seed gives the same numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field, NonNegativeInt, PositiveInt
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from models.bundle.schema import Classification, Estimate, Evaluation, Reference
from models.config import Config
from models.errors import InputError
from models.estimators.bounds import active_units, bits_per_dim, distortion, rate, squared_error
from models.estimators.elbo import ElboEstimate, estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import EvidenceEstimate, log_px_steps
from models.estimators.labels import classify_steps, rows_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.noise import MAX_SEED
from models.vae.model import VAE
from training.data.subset import choose_subset

_BATCH = 100
_MAX_BATCH_SAMPLES = 125_000
"""Images x samples between two updates of the progress bar."""
_GPU_CHUNK_ROWS = 16_384

Images = Float[Tensor, "batch channel height width"]


class EvaluationSettings(Config):
    """How many samples and images each estimate uses."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    elbo_num_samples: PositiveInt = 100
    iwae_num_samples: PositiveInt = 100
    """K of the IWAE bound of every image."""
    subset_num_images: NonNegativeInt = 1_000
    """Images, chosen by the seed, that also get the bounds of large K; 0 leaves these out."""
    subset_num_samples: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1_000, 5_000)
    """Ascending; each smaller K is a prefix of the largest one's draws."""


def evaluate(
    vae: VAE,
    x: Images,
    *,
    labels: Int64[Tensor, " batch"] | None = None,
    dataset: str,
    split: str = "test",
    settings: EvaluationSettings | None = None,
    device: str | torch.device = "cpu",
    console: Console | None = None,
) -> Evaluation:
    """Score a model on held-out images.

    Args:
        vae: The model; it is moved to the device and put into eval mode.
        x: The images in the likelihood's support, in the order of the split.
        labels: Of the images, for a model with labels, whose accuracy they tell; its bounds are of
            log p(x) and do without them.
        dataset: Its name, for the record.
        split: Which part of it, for the record.
        settings: Numbers of samples and images; the published ones by default.
        device: Where to compute.
        console: Where to show progress; nowhere by default.

    Raises:
        OutOfSupport: An image has probability zero under every latent.
    """
    settings = settings or EvaluationSettings()
    vae = vae.to(device).freeze()
    vae.check_support(x)
    _check_settings(len(x), settings)
    units = active_units(posterior_means(vae, x)) if vae.config.encoder is not None else 0
    if not vae.has_density:
        errors = [squared_error(vae, batch).double().cpu() for _, batch in _batches(vae, x, _BATCH)]
        error = float(torch.cat(errors).mean())
        return Evaluation(
            dataset=dataset,
            split=split,
            num_images=len(x),
            estimates=(),
            active_units=units,
            squared_error=error,
        )
    with _progress(console) as progress:
        elbos, scores = _score(vae, x, settings, progress)
        classification = _classify(vae, x, labels, settings, progress)
    return Evaluation(
        dataset=dataset,
        split=split,
        num_images=len(x),
        estimates=tuple(_summarise(vae, score, settings.seed) for score in scores),
        rate_nats=rate(torch.cat([estimate.kl_nats for estimate in elbos])),
        distortion_nats=distortion(
            torch.cat([estimate.expected_log_likelihood_nats for estimate in elbos])
        ),
        active_units=units,
        kl_per_dimension_nats=_means([e.kl_per_dimension_nats for e in elbos]),
        kl_per_group_nats=_means([e.kl_per_group_nats for e in elbos]),
        references=tuple(
            Reference(
                estimator=score.estimator,
                num_samples=score.num_samples,
                values_nats=tuple(score.values_nats.sort().values.tolist()),
            )
            for score in scores
        ),
        classification=classification,
    )


def _score(
    vae: VAE, x: Images, settings: EvaluationSettings, progress: Progress
) -> "tuple[list[ElboEstimate], list[_Scores]]":
    """The ELBOs, and the scores of every estimator."""
    chosen = choose_subset(len(x), settings.subset_num_images, seed=settings.seed)
    elbos = _score_elbo(vae, x, settings, progress)
    scores = [
        _Scores(
            "elbo",
            settings.elbo_num_samples,
            torch.cat([estimate.elbo_nats for estimate in elbos]),
            torch.cat([estimate.standard_error_nats for estimate in elbos]),
        )
    ]
    if has_exact_posterior(vae):
        return elbos, [*scores, *_score_log_px(vae, x, (1,), settings, progress, "exact")]
    return elbos, [
        *scores,
        *_score_log_px(vae, x, (settings.iwae_num_samples,), settings, progress),
        *_score_log_px(vae, x[chosen], settings.subset_num_samples, settings, progress),
    ]


def _classify(
    vae: VAE,
    x: Images,
    labels: Int64[Tensor, " batch"] | None,
    settings: EvaluationSettings,
    progress: Progress,
) -> Classification | None:
    if labels is None or not vae.num_labels:
        return None
    direct = vae.config.classifier is not None
    num_samples = 1 if direct else settings.elbo_num_samples
    task = progress.add_task("labels", total=len(x))
    right = 0
    for start, batch in _batches(vae, x, _BATCH):
        log_q = run_steps(
            classify_steps(
                vae,
                batch,
                num_samples=num_samples,
                seed=settings.seed,
                first_item=start,
                chunk_rows=_chunk_rows(vae),
            )
        )
        right += int((log_q.argmax(1).cpu() == labels[start : start + len(batch)]).sum())
        progress.advance(task, len(batch))
    accuracy = right / len(x)
    return Classification(
        method="classifier" if direct else "bayes",
        num_samples=0 if direct else num_samples,
        n=len(x),
        accuracy=accuracy,
        standard_error=sqrt(accuracy * (1 - accuracy) / len(x)),
    )


def _check_settings(num_images: int, settings: EvaluationSettings) -> None:
    if num_images < 2 or settings.subset_num_images == 1:
        raise InputError(
            f"An error over images needs at least 2 of them; received {num_images} and a subset of "
            f"{settings.subset_num_images}. Score more images, or leave the subset out with 0."
        )


@dataclass(frozen=True)
class _Scores:
    """One estimate of each of n images."""

    estimator: Literal["elbo", "iwae", "exact"]
    num_samples: int
    values_nats: Float[Tensor, " image"]
    errors_nats: Float[Tensor, " image"]
    """Monte Carlo standard errors."""


def _score_elbo(
    vae: VAE, x: Images, settings: EvaluationSettings, progress: Progress
) -> list[ElboEstimate]:
    task = progress.add_task(f"ELBO, {settings.elbo_num_samples} samples", total=len(x))
    estimates = []
    for start, batch in _batches(vae, x, _BATCH):
        estimates.append(
            estimate_elbo(
                vae,
                batch,
                num_samples=settings.elbo_num_samples,
                seed=settings.seed,
                first_item=start,
                chunk_rows=_chunk_rows(vae),
            )
        )
        progress.advance(task, len(batch))
    return estimates


def _score_log_px(
    vae: VAE,
    x: Images,
    num_samples: tuple[int, ...],
    settings: EvaluationSettings,
    progress: Progress,
    estimator: Literal["iwae", "exact"] = "iwae",
) -> list[_Scores]:
    """One set of scores per K, all from one stream of draws; none when there are no images."""
    if len(x) == 0:
        return []
    words = "log p(x), exact" if estimator == "exact" else f"IWAE bound, K = {num_samples[-1]}"
    task = progress.add_task(words, total=len(x))
    by_batch: list[list[EvidenceEstimate]] = []
    for start, batch in _batches(
        vae, x, min(_BATCH, max(1, _MAX_BATCH_SAMPLES // num_samples[-1]))
    ):
        steps = log_px_steps(
            vae,
            batch,
            num_samples=num_samples,
            seed=settings.seed,
            estimator=estimator,
            first_item=start,
            chunk_rows=_chunk_rows(vae),
        )
        by_batch.append(run_steps(steps))
        progress.advance(task, len(batch))
    return [
        _Scores(
            estimator,
            samples,
            torch.cat([estimate.estimate_nats for estimate in estimates]),
            torch.cat([estimate.standard_error_nats for estimate in estimates]),
        )
        for samples, estimates in zip(num_samples, zip(*by_batch, strict=True), strict=True)
    ]


@torch.no_grad()
def posterior_means(vae: VAE, x: Images) -> Float[Tensor, "batch ..."]:
    """E_q[z] of each image; of a model with labels its mean over q(y|x)."""
    means = []
    for _, batch in _batches(vae, x, _BATCH):
        rows = run_steps(rows_steps(vae, batch, None, chunk_rows=_chunk_rows(vae)))
        means.append(rows.expect(vae.posterior(rows.x, rows.y).mean, axis=0).cpu())
    return torch.cat(means)


def _batches(vae: VAE, x: Images, size: int) -> Iterator[tuple[int, Images]]:
    """Positions of first images, and batches on the model's device and in its precision."""
    parameter = next(vae.parameters())
    for start in range(0, len(x), size):
        yield start, x[start : start + size].to(parameter)


def _chunk_rows(vae: VAE) -> int:
    return _GPU_CHUNK_ROWS if next(vae.parameters()).is_cuda else CHUNK_ROWS


def _summarise(vae: VAE, scores: _Scores, seed: int) -> Estimate:
    values = scores.values_nats
    mean = values.mean()
    return Estimate(
        estimator=scores.estimator,
        num_samples=scores.num_samples,
        n=len(values),
        seed=seed,
        mean_nats=float(mean),
        standard_error_nats=float(values.std() / sqrt(len(values))),
        monte_carlo_error_nats=_or_none(scores.errors_nats.square().sum().sqrt() / len(values)),
        bits_per_dim=float(bits_per_dim(mean, vae.config.num_dimensions)) if vae.is_mass else None,
    )


def _or_none(value: Tensor) -> float | None:
    """None for what a single image or a single sample leaves undefined."""
    return float(value) if value.isfinite() else None


def _means(parts: Sequence[Tensor | None]) -> tuple[float, ...]:
    """Data means of rows, (batch, ...), in C order; none where there are no rows."""
    rows = [part for part in parts if part is not None]
    return tuple(torch.cat(rows).mean(0).flatten().tolist()) if rows else ()


def _progress(console: Console | None) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console or Console(quiet=True),
        disable=console is None,
    )
