"""How many test images and draws an evaluation is worth, by a trial on a few of them.

Known data sets get the numbers of samples that are published. For own images the error decides:
draws until a single image's score is known to the target, images until their mean is; and an
evaluation takes no longer than a quarter of the training.
"""

import math
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from rich.console import Console

from models.config import Config
from models.estimators.annealed_chains import Annealing, check_annealable, in_double
from models.estimators.exact import has_exact_posterior
from models.estimators.passes import slope_steps
from models.estimators.simulated import simulate
from models.estimators.steps import run_steps
from models.noise import MAX_SEED
from models.scores.kinds import AnnealingStart
from training.data.catalogue import DATASETS
from training.data.subset import choose_subset
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel

TARGET_BITS_PER_DIM = 0.02
"""Standard error that is worth no further draws or images; for densities in units of ln 2 nats."""
SHARE_OF_TRAINING = 0.25
"""Largest time of an evaluation over that of the training."""
_LEAST_SECONDS = 20.0
"""Time that any evaluation may take."""
_TRIED_IMAGES, _TRIED_DRAWS = 32, 8
_TRIED_ANNEALED, _TRIED_GRADIENTS = 10, 3
_DRAWS = (100, 50, 20, 10, 5, 2)
"""Numbers of draws of the ELBO, and of the IWAE bound, from the most that are worth it."""
_LEAST_K = 5
"""Least K of the IWAE bound: with two draws it hardly differs from the ELBO."""
_ENOUGH_IMAGES = 1_000
"""Images from which on the error of their mean alone decides: percentiles want hundreds."""
_FEWEST_IMAGES = 100


class AskedEffort(Config):
    """What is asked of an evaluation; None for what is left to choose."""

    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    num_images: NonNegativeInt | None = None
    elbo_num_samples: PositiveInt | None = None
    iwae_num_samples: PositiveInt | None = None
    subset_num_images: NonNegativeInt | None = None
    subset_num_samples: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    ais_num_images: NonNegativeInt | None = None
    bdmc_num_images: NonNegativeInt | None = None
    ais_num_steps: Annotated[int, Field(ge=2)] | None = None
    ais_start: AnnealingStart | None = None

    @property
    def is_nothing(self) -> bool:
        """Whether everything is left to choose."""
        return self == AskedEffort()


@dataclass(frozen=True)
class Trial:
    """What a few images show, on one device."""

    seconds_a_draw: float
    """Time of one draw of one image."""
    image_bits: float
    """Standard deviation over images, in bits per dim."""
    draw_bits: float
    """Standard deviation over the draws of an image, in bits per dim."""


def choose_settings(
    model: TrainedModel, asked: AskedEffort, *, device: str | torch.device, console: Console
) -> EvaluationSettings:
    """The settings of an evaluation, and on the console how long it will take.

    Args:
        model: The model and its test images.
        asked: What is asked for, which is kept.
        device: Where the evaluation will compute.
        console: Where the plan is written, in a line.
    """
    given = {name: value for name, value in asked if value is not None}
    settings = EvaluationSettings(**given)
    if settings.anneals:
        check_annealable(model.vae, model.labels)
    if not model.vae.has_density:
        return settings
    trial = _try(model, device, seed=settings.seed)
    if model.provenance.dataset not in DATASETS:
        seconds = max(_LEAST_SECONDS, SHARE_OF_TRAINING * model.provenance.training_seconds)
        exact = has_exact_posterior(model.vae)
        chosen = fit_effort(trial, count=len(model.x), seconds=seconds, is_exact=exact)
        settings = chosen.model_copy(update=given)
    draws, images = count_draws(settings, len(model.x))
    seconds = draws * trial.seconds_a_draw
    if settings.anneals:
        seconds += count_gradients(settings, images) * _time_gradient(model)
    subset = settings.subset_num_images
    parts = [
        f"{images:,} of {len(model.x):,} test images",
        f"{settings.elbo_num_samples} draws of the ELBO",
        f"{settings.iwae_num_samples} of the IWAE bound",
    ]
    if subset:
        parts.append(f"{settings.subset_num_samples[-1]:,} for {min(subset, images):,} of them")
    if (annealed := min(settings.ais_num_images, images)) > 0:
        parts.append(f"AIS of {annealed:,} of them")
    if settings.bdmc_num_images:
        parts.append(f"BDMC of {settings.bdmc_num_images:,} simulated ones")
    took = timedelta(seconds=round(seconds))
    line = f"Evaluation: {', '.join(parts)}; about {took}."
    console.print(line, soft_wrap=True, markup=False, highlight=False)
    return settings


def fit_effort(
    trial: Trial, *, count: int, seconds: float, is_exact: bool = False
) -> EvaluationSettings:
    """Draws and images for own images, by their errors and the time.

    Args:
        trial: What a few images showed.
        count: Number of test images.
        seconds: Time that the evaluation may take.
        is_exact: Whether log p(x) has a closed form, which needs no draws.

    Returns:
        Settings without a subset of large K. What is worth little goes first where the time is
        short: draws of the IWAE bound, then images beyond a hundred, then draws of the ELBO.
    """
    enough = next(
        (
            draws
            for draws in reversed(_DRAWS)
            if trial.draw_bits <= TARGET_BITS_PER_DIM * math.sqrt(draws)
        ),
        _DRAWS[0],
    )
    for_mean = math.ceil((trial.image_bits / TARGET_BITS_PER_DIM) ** 2)
    images = min(count, max(_ENOUGH_IMAGES, for_mean))
    fewer_images = [images]
    while fewer_images[-1] > _FEWEST_IMAGES:
        fewer_images.append(max(_FEWEST_IMAGES, fewer_images[-1] // 2))
    tried = [(images, enough, k) for k in _DRAWS if k >= _LEAST_K]
    tried += [(fewer, enough, _LEAST_K) for fewer in fewer_images[1:]]
    tried += [(fewer_images[-1], draws, _LEAST_K) for draws in _DRAWS if draws < enough]
    for number, elbo, iwae in tried:
        drawn = elbo + (0 if is_exact else iwae)
        if number * drawn * trial.seconds_a_draw <= seconds:
            break
    return EvaluationSettings(
        num_images=0 if number == count else number,
        elbo_num_samples=elbo,
        iwae_num_samples=iwae,
        subset_num_images=0,
    )


def count_draws(settings: EvaluationSettings, count: int) -> tuple[int, int]:
    """Draws of an evaluation in all, and the images that it scores, of so many test images."""
    images = min(settings.num_images or count, count)
    subset = min(settings.subset_num_images, images) * settings.subset_num_samples[-1]
    return images * (settings.elbo_num_samples + settings.iwae_num_samples) + subset, images


def count_gradients(settings: EvaluationSettings, images: int) -> int:
    """Gradients of all that is annealed, of so many test images that are scored."""
    forward = min(settings.ais_num_images, images) + settings.bdmc_num_images
    backward = settings.bdmc_num_images
    each, pilot = settings.annealing.gradients, settings.annealing.pilot_gradients
    return forward * each + backward * (each - pilot)


def _time_gradient(model: TrainedModel) -> float:
    """Seconds of a gradient of log p(x, z), of which an annealed image takes many."""
    vae = in_double(model.vae)
    made = simulate(vae, _TRIED_ANNEALED, seed=0)
    z = made.z.flatten(1).double().cpu().expand(Annealing.num_chains, -1, -1)
    run_steps(slope_steps(vae, z, made.x, made.y))
    started = time.perf_counter()
    for _ in range(_TRIED_GRADIENTS):
        run_steps(slope_steps(vae, z, made.x, made.y))
    return (time.perf_counter() - started) / (_TRIED_GRADIENTS * z[..., 0].numel())


def _try(model: TrainedModel, device: str | torch.device, *, seed: int) -> Trial:
    """Score a few random test images; the first call, which warms up, is not timed."""
    vae = model.vae.to(device).freeze()
    chosen = choose_subset(len(model.x), min(_TRIED_IMAGES, len(model.x)), seed=seed)
    scorer = Scorer(vae, model.x[chosen])
    scorer.elbo(num_samples=1, seed=seed)
    started = time.perf_counter()
    found = scorer.elbo(num_samples=_TRIED_DRAWS, seed=seed)
    seconds = time.perf_counter() - started
    bits = vae.config.num_dimensions * math.log(2)
    over_draws = found.standard_error_nats.square().mean().sqrt() * math.sqrt(_TRIED_DRAWS)
    return Trial(
        seconds_a_draw=seconds / (len(chosen) * _TRIED_DRAWS),
        image_bits=float(found.elbo_nats.std()) / bits if len(chosen) > 1 else math.inf,
        draw_bits=float(over_draws) / bits,
    )
