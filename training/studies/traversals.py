"""Latent traversals: pictures along one latent dimension after another."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError
from models.estimators.labels import guess_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.vae.model import VAE
from training.evaluation.scoring import Scorer
from training.evaluation.trained import TrainedModel
from training.studies.requirements import require_density, require_dimensions

_PRIOR_SAMPLES = 2_000


@dataclass(frozen=True)
class TraversalRow:
    """A latent dimension, and how much pictures change along it."""

    dimension: int
    activity: float
    """The mean of `Scorer.activity`."""
    prior_scale: float
    """The prior's standard deviation."""
    change: float
    """Root mean square over pixels, 0..1, of the difference between both ends' pictures."""


@dataclass(frozen=True)
class Traversals:
    """Pictures along latent dimensions."""

    rows: list[TraversalRow]
    """The most active dimension first."""
    steps: tuple[float, ...]
    """Prior standard deviations from the centre."""
    pictures: Float[Tensor, "row step channel height width"]
    """Means of p(x|z), observations."""
    centre: str
    """What the centre is, for the axis."""


@torch.no_grad()
def traversals(
    model: TrainedModel,
    *,
    image: int | None = 0,
    label: int | None = None,
    num_rows: int = 10,
    num_steps: int = 9,
) -> Traversals:
    """Decode from -3 to 3 prior standard deviations off a centre, along each latent dimension.

    Args:
        model: The model and its test images.
        image: Position of the image whose posterior mean is the centre; None for z = 0.
        label: Label of the pictures, for a model with labels; by default the image's most probable
            one, or 0 at z = 0.
        num_rows: Most dimensions shown.
        num_steps: Pictures in a row.

    Raises:
        InputError: There is no such image or label.
        UnsupportedOperation: A mixture has no dimensions, an autoencoder no prior.
    """
    require_density(model)
    require_dimensions(model)
    vae = model.vae
    z, y, centre = _choose_centre(model, image, label)
    activity = Scorer(vae, model.x).activity().mean(0)
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


def _choose_centre(
    model: TrainedModel, image: int | None, label: int | None
) -> tuple[Tensor, Tensor | None, str]:
    """The centre as a latent of one row, the label that goes with it, and its description."""
    vae = model.vae
    if image is not None and not 0 <= image < len(model.x):
        raise InputError(
            f"There is no test image {image}: the positions are 0 to {len(model.x) - 1}. Take "
            f"--image {len(model.x) - 1}, or --origin for z = 0.",
            parameter="image",
            received=image,
        )
    y = _choose_label(model, image, label)
    suffix = "" if y is None else f", label {int(y)}"
    if image is None:
        return torch.zeros(1, *vae.latent_shape), y, f"z = 0{suffix}"
    mean = vae.posterior(model.x[image : image + 1], y).mean
    return mean, y, f"test image {image}{suffix}"


def _choose_label(model: TrainedModel, image: int | None, label: int | None) -> Tensor | None:
    vae = model.vae
    if not vae.num_labels:
        if label is not None:
            raise InputError(
                f"{model.name} takes no label: it was trained without labels. Leave --label out.",
                parameter="label",
                received=label,
            )
        return None
    if label is not None and not 0 <= label < vae.num_labels:
        raise InputError(
            f"{model.name} has no label {label}: its labels are 0 to {vae.num_labels - 1}. Choose "
            "one of these, or leave --label out.",
            parameter="label",
            received=label,
            allowed=range(vae.num_labels),
        )
    if label is None and image is not None:
        x = model.x[image : image + 1]
        return run_steps(guess_steps(vae, x, chunk_rows=CHUNK_ROWS)).argmax(-1)
    return torch.tensor([label or 0])


def prior_scale(vae: VAE, y: Tensor | None) -> Tensor:
    """Standard deviations of the prior, shaped as the latent; estimated from draws if need be."""
    prior: Any = vae.prior(y)
    if hasattr(prior, "scale") and vae.config.prior.kind != "top_down":
        return torch.as_tensor(prior.scale).reshape(vae.latent_shape)
    noise = BatchNoise(0, 1, "prior").draw(
        _PRIOR_SAMPLES, prior.noise_shape(), kind=prior.noise_kind
    )
    drawn: Tensor = prior.from_noise(noise[:, 0])
    return drawn.std(0)
