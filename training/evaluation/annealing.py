"""What an evaluation says by annealing: log p(x) of held-out images, and bounds from both sides.

Both take minutes, so that they are of few images. The lower bound is held against importance
sampling from refined proposals for the same images; the gap is of images that the model has made,
where an upper bound exists.
"""

from dataclasses import replace
from math import sqrt
from typing import Any, TypedDict

from models.bundle.schema import Annealed, Bidirectional, Paired
from models.estimators.annealed_chains import Annealing, in_double
from models.estimators.annealing import AnnealedEstimate, Sandwich
from models.estimators.bounds import bits_per_dim
from models.estimators.simulated import simulate
from training.data.subset import choose_subset
from training.evaluation.means import mean_of_values
from training.evaluation.scoring import Labels, Scorer

REFINED_SAMPLES = 1_000
"""K of the refined estimates of the same images."""
_BATCH_SIZE, _GPU_BATCH_SIZE = 10, 100
"""Images whose chains move together: results are kept, and progress is shown, after each batch."""


class AnnealedFields(TypedDict, total=False):
    """Fields of an evaluation."""

    annealed: Annealed
    bidirectional: Bidirectional


def score_by_annealing(
    scorer: Scorer,
    labels: Labels | None,
    *,
    settings: Annealing,
    num_images: int,
    num_simulated: int,
    seed: int,
) -> AnnealedFields:
    """Anneal a random subset of the images, and images of the model's own.

    Args:
        scorer: The model and its images.
        labels: The images' labels; a model with labels is scored by log p(x|y).
        settings: Where chains start, and how long they are.
        num_images: Held-out images; 0 for none.
        num_simulated: Images of the model's own; 0 for none.
        seed: Seed of the subset and of all noise.
    """
    vae, found = scorer.vae, AnnealedFields()
    size = _GPU_BATCH_SIZE if vae.device.type == "cuda" else _BATCH_SIZE
    scorer = replace(scorer, batch_size=size)
    if num_images:
        chosen = choose_subset(len(scorer.x), num_images, seed=seed)
        y = labels[chosen] if labels is not None and vae.num_labels else None
        some = replace(scorer, x=scorer.x[chosen], y=y)
        found["annealed"] = _anneal(some, settings, seed)
    if num_simulated:
        made = simulate(in_double(vae), num_simulated, seed=seed)
        sandwich = replace(scorer, x=made.x, y=made.y).sandwich(
            made.z, settings=settings, seed=seed
        )
        found["bidirectional"] = _summarise(sandwich)
    return found


def _anneal(scorer: Scorer, settings: Annealing, seed: int) -> Annealed:
    """Of all images of the scorer."""
    vae, found = scorer.vae, scorer.annealed_log_px(settings=settings, seed=seed)
    mean = mean_of_values(found.estimate_nats, found.standard_error_nats)
    bits = float(bits_per_dim(mean.nats, vae.config.num_dimensions)) if vae.is_mass else None
    return Annealed(
        **_settings_of(found),
        n=mean.n,
        given_labels=scorer.y is not None,
        mean_nats=float(mean.nats),
        standard_error_nats=float(mean.error_nats),
        monte_carlo_error_nats=float(mean.draws_error_nats),
        bits_per_dim=bits,
        effective_sample_size=float(found.effective_sample_size.mean()),
        acceptance_rate=float(found.acceptance_rate.mean()),
        refined=_compare(scorer, found),
    )


def _compare(scorer: Scorer, annealed: AnnealedEstimate) -> Paired:
    """Refined estimates of the same images, with the same seed."""
    found = scorer.refined_log_px(num_samples=REFINED_SAMPLES, seed=annealed.seed)
    mean = mean_of_values(found.estimate_nats, found.standard_error_nats)
    apart = mean_of_values(annealed.estimate_nats - found.estimate_nats, found.standard_error_nats)
    return Paired(
        num_samples=found.common_num_samples,
        mean_nats=float(mean.nats),
        standard_error_nats=float(mean.error_nats),
        monte_carlo_error_nats=float(mean.draws_error_nats),
        difference_nats=float(apart.nats),
        difference_error_nats=float(apart.error_nats),
    )


def _summarise(sandwich: Sandwich) -> Bidirectional:
    gaps = sandwich.gap_nats
    rates = sandwich.acceptance_rate + sandwich.upper_acceptance_rate
    return Bidirectional(
        **_settings_of(sandwich),
        n=len(gaps),
        lower_nats=float(sandwich.estimate_nats.mean()),
        upper_nats=float(sandwich.upper_nats.mean()),
        gap_nats=float(gaps.mean()),
        gap_error_nats=float(gaps.std()) / sqrt(len(gaps)),
        acceptance_rate=float(rates.mean()) / 2,
    )


def _settings_of(found: AnnealedEstimate) -> dict[str, Any]:
    names = ("start", "num_steps", "num_chains", "num_leapfrog", "seed")
    return {name: getattr(found, name) for name in names}
