"""The plane of the latent space in which held-out posterior means differ most."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from models.bundle.latent_map import MOST_POINTS, LatentMap
from models.vae.model import VAE
from training.evaluation.held_out import HeldOut
from training.evaluation.scoring import Scorer

FEWEST_POINTS = 3
"""Fewer have no plane of their own."""
MAX_BYTES = 60_000
"""Of a map's JSON; a map that would be larger has fewer points."""
MOST_LABELS = 100
"""Classes that a map tells apart."""
_SHORTER = 0.9
_NOTHING = 1e-9
"""Coordinates up to this are the rounding of equal means."""
_DIGITS = 6
"""Significant ones of the mean and the axes."""


def make_map(vae: VAE, held_out: HeldOut) -> LatentMap:
    """Project the posterior means of held-out pictures on their first two principal components.

    Args:
        vae: The model, in eval mode; `why_no_map` must be None.
        held_out: The pictures, `FEWEST_POINTS` at least; `MOST_POINTS` at random are taken at most.
    """
    some = held_out.take(MOST_POINTS)
    means = Scorer(vae, torch.from_numpy(some.x)).posterior_means().flatten(1).double().cpu()
    mean, (axes, shares) = means.mean(0), principal_axes(means)
    points = (means - mean) @ axes.T
    labels, names = _labels(some)
    made = LatentMap(
        source=held_out.describe(len(points)),
        mean=_significant(mean),
        axes=(_significant(axes[0]), _significant(axes[1])),
        explained=(round(shares[0], 4), round(shares[1], 4)),
        points=_rounded(points),
        labels=labels,
        label_names=names,
    )
    while len(made.model_dump_json().encode()) > MAX_BYTES and len(made.points) > FEWEST_POINTS:
        made = _shortened(made, held_out)
    return made


def principal_axes(
    means: Float[Tensor, "batch latent"],
) -> tuple[Float[Tensor, "2 latent"], tuple[float, float]]:
    """The first two principal components, and each one's share of the variance.

    The largest loading of a component is positive.
    """
    _, singular, directions = torch.linalg.svd(means - means.mean(0), full_matrices=False)
    largest = directions.abs().argmax(1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()
    shares = (singular.square() / singular.square().sum().clamp_min(1e-300)).tolist()
    return directions[:2], (shares[0], shares[1])


def _labels(some: HeldOut) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """The classes of pictures and their names; none of more than `MOST_LABELS` classes."""
    if some.labels is None:
        return (None,) * len(some.x), ()
    count = int(some.labels.max()) + 1
    names = some.dataset.class_names or tuple(map(str, range(count)))
    if len(names) > MOST_LABELS:
        return (None,) * len(some.x), ()
    return tuple(some.labels.tolist()), names


def _significant(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values.tolist())


def _rounded(points: Float[Tensor, "batch 2"]) -> tuple[tuple[float, float], ...]:
    """Points to the fourth significant digit of the largest coordinate."""
    largest = float(points.abs().max())
    decimals = 4 - math.ceil(math.log10(largest)) if largest > _NOTHING else 0
    return tuple((round(a, decimals), round(b, decimals)) for a, b in points.tolist())


def _shortened(made: LatentMap, held_out: HeldOut) -> LatentMap:
    """A map without its last points, whose order is random."""
    count = int(_SHORTER * len(made.points))
    changed = {
        "points": made.points[:count],
        "labels": made.labels[:count],
        "source": held_out.describe(count),
    }
    return made.model_copy(update=changed)
