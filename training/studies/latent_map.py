"""Latent maps: posterior means of images in two dimensions, and the centre of each label."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from models.errors import UnsupportedOperation
from models.estimators.activity import ACTIVE
from training.evaluation.latent_plane import principal_axes
from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel
from training.fit.objectives import UNLABELLED
from training.studies.requirements import require_dimensions
from training.studies.statistics import mean_and_error


@dataclass(frozen=True)
class MapRow:
    """An image in the map."""

    image: int
    """Its position among the images."""
    label: int
    """`UNLABELLED` where the data set has no labels."""
    first: float
    second: float


@dataclass(frozen=True)
class Map:
    """Images in a plane of the latent space."""

    rows: list[MapRow]
    axes: tuple[str, str]
    """Labels of the two axes."""
    method: str
    """How the plane was chosen, for the title."""


def latent_map(model: TrainedModel) -> Map:
    """Posterior means of the images in two dimensions.

    The two latent dimensions themselves, or the first two principal components of the active ones.

    Raises:
        UnsupportedOperation: The latent has one dimension, or the model is a mixture.
    """
    require_dimensions(model)
    means = Scorer(model.vae, model.x).posterior_means().flatten(1).double()
    if means.shape[1] < 2:
        raise UnsupportedOperation(
            f"{model.name} has one latent dimension, and a map needs two. Plot its use instead: "
            f"vae-lab plot latents {model.path}"
        )
    axes, method = ("E[z_0 | x]", "E[z_1 | x]"), "both dimensions"
    if means.shape[1] > 2:
        means, shares, count = principal_plane(means)
        axes = tuple(  # type: ignore[assignment]
            f"{word} principal component of E[z | x] ({100 * share:.0f} % of its variance)"
            for word, share in zip(("first", "second"), shares, strict=True)
        )
        method = f"PCA of {count} active dimensions"
    labels = model.labels
    rows = [
        MapRow(i, UNLABELLED if labels is None else int(labels[i]), *point)
        for i, point in enumerate(means.tolist())
    ]
    return Map(rows, axes, method)


@dataclass(frozen=True)
class CentreRow:
    """The centre of a label's images in the map."""

    label: int
    n: int
    first: float
    first_error: float
    second: float
    second_error: float


def centres(found: Map) -> list[CentreRow]:
    """The mean point of each label."""
    rows = []
    for label in sorted({row.label for row in found.rows}):
        own = [row for row in found.rows if row.label == label]
        points = torch.tensor([(row.first, row.second) for row in own], dtype=torch.float64)
        first, second = mean_and_error(points[:, 0]), mean_and_error(points[:, 1])
        rows.append(CentreRow(label, len(own), *first, *second))
    return rows


def principal_plane(
    means: Float[Tensor, "batch latent"],
) -> tuple[Float[Tensor, "batch 2"], tuple[float, float], int]:
    """Project onto the first two principal components of the active dimensions.

    Of all dimensions where fewer than two are active. The largest loading of a component is
    positive.

    Returns:
        The points, each component's share of the variance, and the number of dimensions.
    """
    active = means.var(0) > ACTIVE
    kept = means[:, active] if int(active.sum()) >= 2 else means
    axes, shares = principal_axes(kept)
    return (kept - kept.mean(0)) @ axes.T, shares, kept.shape[1]
