"""What a model does with its latent: KL and activity, a map, traversals; it draws no figure.

    activity of a dimension = Var_data(E_q[z]), and the dimension is active above 0.01

Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 5.2.
"""

from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.estimators.labels import guess_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.vae.model import VAE
from training.evaluation.evaluate import posterior_means
from training.fit.objectives import UNLABELLED
from training.studies.statistics import mean_and_error
from training.studies.subjects import Subject, need_density, need_dimensions

ACTIVE = 0.01
_BATCH = 100
_KL_SAMPLES = 10
_PRIOR_SAMPLES = 2_000


@dataclass(frozen=True)
class LatentRow:
    """How much a part of the latent is used; NaN where there is no such number."""

    part: str
    """A dimension by its index from 0, or a hierarchy's group from 1."""
    kl_nats: float
    kl_error_nats: float
    activity: float
    """Var_data(E_q[z]) of a dimension."""
    activity_error: float


def latent_use(subject: Subject) -> list[LatentRow]:
    """KL and activity of each dimension, the most used first, and the KL of each group.

    KL per dimension exists where posterior and prior factorise; groups have a Monte Carlo mean.

    Raises:
        UnsupportedOperation: The model is a mixture.
    """
    need_dimensions(subject)
    means = posterior_means(subject.vae, subject.x).flatten(1).double()
    squares = (means - means.mean(0)).square() * len(means) / (len(means) - 1)
    per_dimension, per_group = _kl_parts(subject)
    rows = []
    for i in range(means.shape[1]):
        kl = (nan, nan) if per_dimension is None else mean_and_error(per_dimension[:, i])
        rows.append(LatentRow(f"dimension {i}", *kl, *mean_and_error(squares[:, i])))
    key = "activity" if per_dimension is None else "kl_nats"
    rows.sort(key=lambda row: -getattr(row, key))
    if per_group is not None:
        rows += [
            LatentRow(f"group {i + 1}", *mean_and_error(column), nan, nan)
            for i, column in enumerate(per_group.unbind(1))
        ]
    return rows


def _kl_parts(subject: Subject) -> tuple[Tensor | None, Tensor | None]:
    """KL of each image by dimension, flattened, and by group; None where there is no such."""
    if not subject.vae.has_density:
        return None, None
    parts = [
        estimate_elbo(
            subject.vae,
            subject.x[start : start + _BATCH],
            num_samples=_KL_SAMPLES,
            seed=0,
            first_item=start,
        )
        for start in range(0, len(subject.x), _BATCH)
    ]
    dimensions = [part.kl_per_dimension_nats for part in parts]
    groups = [part.kl_per_group_nats for part in parts]
    return (
        None if dimensions[0] is None else torch.cat(dimensions).flatten(1),  # type: ignore[arg-type]
        None if groups[0] is None else torch.cat(groups),  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class MapRow:
    """Where an image lies in the map."""

    image: int
    """Its position among the images."""
    label: int
    """`UNLABELLED` where the data have none."""
    first: float
    second: float


@dataclass(frozen=True)
class Map:
    """Images in the plane, and what the plane is."""

    rows: list[MapRow]
    axes: tuple[str, str]
    """In words."""
    method: str
    """For the title."""


def latent_map(subject: Subject) -> Map:
    """Posterior means of the images in two dimensions.

    The two latent dimensions themselves, or the first two principal components of the active ones.

    Raises:
        UnsupportedOperation: The latent is one number, or the model is a mixture.
    """
    need_dimensions(subject)
    means = posterior_means(subject.vae, subject.x).flatten(1).double()
    if means.shape[1] < 2:
        raise UnsupportedOperation(
            f"A map needs two latent dimensions; {subject.name} has one. Plot its latents instead."
        )
    axes, method = ("E[z_0 | x]", "E[z_1 | x]"), "both dimensions"
    if means.shape[1] > 2:
        means, shares, count = principal_plane(means)
        axes = tuple(  # type: ignore[assignment]
            f"{word} principal component of E[z | x] ({100 * share:.0f} % of its variance)"
            for word, share in zip(("first", "second"), shares, strict=True)
        )
        method = f"PCA of {count} active dimensions"
    labels = subject.labels
    rows = [
        MapRow(i, UNLABELLED if labels is None else int(labels[i]), *point)
        for i, point in enumerate(means.tolist())
    ]
    return Map(rows, axes, method)


@dataclass(frozen=True)
class CentreRow:
    """Where the images of a label lie."""

    label: int
    n: int
    first: float
    first_error: float
    second: float
    second_error: float


def centres(found: Map) -> list[CentreRow]:
    """Means of a map by label."""
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
    """The first two principal components, their shares of the variance, and of how many dimensions.

    Of the active dimensions, or of all where fewer than two are active. The largest loading of a
    component is positive.
    """
    active = means.var(0) > ACTIVE
    kept = means[:, active] if int(active.sum()) >= 2 else means
    centred = kept - kept.mean(0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    largest = directions.abs().argmax(1, keepdim=True)
    directions = directions * directions.gather(1, largest).sign()
    shares = (singular.square() / singular.square().sum().clamp_min(1e-300)).tolist()
    return centred @ directions[:2].T, (shares[0], shares[1]), kept.shape[1]


@dataclass(frozen=True)
class TraversalRow:
    """A dimension, and how much the picture changes along it."""

    dimension: int
    activity: float
    """Var_data(E_q[z])."""
    prior_scale: float
    """The prior's standard deviation."""
    change: float
    """Root mean square over pixels, 0..1, of the difference between both ends' pictures."""


@dataclass(frozen=True)
class Traversals:
    """Pictures along latent dimensions."""

    rows: list[TraversalRow]
    """The most active first."""
    steps: tuple[float, ...]
    """Prior standard deviations from the centre."""
    pictures: Float[Tensor, "row step channel height width"]
    """Means of p(x|z), observations."""
    centre: str
    """What it is, in words."""


@torch.no_grad()
def traversals(
    subject: Subject,
    *,
    image: int | None = 0,
    label: int | None = None,
    num_rows: int = 10,
    num_steps: int = 9,
) -> Traversals:
    """One latent dimension at a time moved from -3 to 3 prior standard deviations off a centre.

    Args:
        subject: The model.
        image: Position of the image whose posterior mean is the centre; None for z = 0.
        label: Of a model with labels; otherwise the image's most probable one, or 0 at z = 0.
        num_rows: Most dimensions shown.
        num_steps: Pictures in a row.

    Raises:
        InputError: There is no such image or label.
        UnsupportedOperation: A mixture has no dimensions, an autoencoder no prior.
    """
    need_density(subject)
    need_dimensions(subject)
    vae = subject.vae
    if image is not None and not 0 <= image < len(subject.x):
        raise InputError(
            f"An image is named by its position, 0..{len(subject.x) - 1}; received {image}. "
            "Choose another."
        )
    y = _traversal_label(subject, image, label)
    z, centre = torch.zeros(1, *vae.latent_shape), "z = 0"
    if image is not None:
        z, centre = vae.posterior(subject.x[image : image + 1], y).mean, f"test image {image}"
    if y is not None:
        centre += f", label {int(y)}"
    activity = posterior_means(vae, subject.x).flatten(1).double().var(0)
    chosen = activity.argsort(descending=True)[:num_rows]
    steps, scale = torch.linspace(-3, 3, num_steps), prior_scale(vae, y).flatten()
    moved = z.flatten().repeat(len(chosen), num_steps, 1)
    for row, dimension in enumerate(chosen.tolist()):
        moved[row, :, dimension] += steps * scale[dimension]
    latents = moved.reshape(-1, *vae.latent_shape)
    labels = None if y is None else y.expand(len(latents))
    pictures = vae.likelihood(latents, labels).mean.unflatten(0, (len(chosen), num_steps))
    change = ((pictures[:, -1] - pictures[:, 0]) / vae.unit_scale).square().flatten(1).mean(1)
    rows = [
        TraversalRow(i, float(activity[i]), float(scale[i]), float(change[row].sqrt()))
        for row, i in enumerate(chosen.tolist())
    ]
    return Traversals(rows, tuple(steps.tolist()), pictures, centre)


def _traversal_label(subject: Subject, image: int | None, label: int | None) -> Tensor | None:
    vae = subject.vae
    if not vae.num_labels and label is None:
        return None
    if label is not None and not 0 <= label < vae.num_labels:
        raise InputError(
            f"A label is one of {vae.num_labels} of this model, from 0; received {label}. "
            "Choose another, or leave it out."
        )
    if label is None and image is not None:
        x = subject.x[image : image + 1]
        return run_steps(guess_steps(vae, x, chunk_rows=CHUNK_ROWS)).argmax(-1)
    return torch.tensor([label or 0])


def prior_scale(vae: VAE, y: Tensor | None) -> Tensor:
    """Standard deviations of the prior, shaped as the latent.

    Its own where it has them, otherwise those of 2,000 draws.
    """
    prior: Any = vae.prior(y)
    if hasattr(prior, "scale") and vae.config.prior.kind != "top_down":
        return torch.as_tensor(prior.scale).reshape(vae.latent_shape)
    noise = BatchNoise(0, 1, "prior").draw(
        _PRIOR_SAMPLES, prior.noise_shape(), kind=prior.noise_kind
    )
    drawn: Tensor = prior.from_noise(noise[:, 0])
    return drawn.std(0)
