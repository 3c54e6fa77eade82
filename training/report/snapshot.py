"""What a model shows at a validation: samples, reconstructions, and what each latent part carries.

TensorBoard, the run's folder and its report show the same snapshot. The noise and the held-out
images are the same at every validation, so that two snapshots differ by the weights alone.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from models.estimators.activity import active_units
from models.estimators.elbo import ElboEstimate, estimate_elbo
from models.images.spec import ImageSpec
from models.images.writing import to_uint8, to_unit
from models.vae.model import VAE
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.evaluation.scoring import Scorer

Pictures = UInt8[np.ndarray, "picture channel height width"]

_NUM_SAMPLES = 64
_NUM_FOR_KL = 500


@dataclass(frozen=True)
class Snapshot:
    """A model at one validation. A part that the model lacks, or that is not finite, is absent."""

    pictures: dict[str, Pictures]
    """`samples`, 64 means of p(x|z) at z ~ p(z); `reconstructions`, rows of eight held-out images,
    each above the row of their reconstructions."""
    kl_parts: dict[str, Float[Tensor, "image ..."]]
    """KL of each image by part, nats: `kl_per_dimension_nats` where prior and posterior factorise,
    `kl_per_group_nats` of a ladder."""
    num_images: int
    """Held-out images behind `kl_parts` and `active_units`."""
    active_units: int | None
    """Latent dimensions whose activity over the images is above 0.01."""
    num_latents: int


def take_snapshot(
    vae: VAE, held_out: Float[Tensor, "batch channel height width"], spec: ImageSpec
) -> Snapshot:
    """Draw samples, reconstruct held-out images, and split the KL; the model stays as it is.

    Args:
        vae: The model, on any device, in any precision.
        held_out: Observations; the first 500 give the KL, 32 of all are reconstructed.
        spec: What the observations are.
    """
    vae = deepcopy(vae).cpu().float()
    scored = held_out[:_NUM_FOR_KL]
    kl = estimate_elbo(vae, scored, num_samples=1, seed=0) if vae.has_density else None
    return Snapshot(
        pictures=_pictures(vae, held_out, spec),
        kl_parts=_kl_parts(kl),
        num_images=len(scored),
        active_units=_active_units(vae, scored),
        num_latents=vae.num_latents,
    )


def _pictures(vae: VAE, held_out: Tensor, spec: ImageSpec) -> dict[str, Pictures]:
    observations = {"reconstructions": reconstruct_some(vae, held_out)}
    if vae.has_density:
        observations["samples"] = draw_samples(vae, _NUM_SAMPLES)
    return {
        name: to_uint8(to_unit(x, spec))
        for name, x in observations.items()
        if x.isfinite().all()  # a run that diverges has no pictures
    }


def _kl_parts(kl: ElboEstimate | None) -> dict[str, Tensor]:
    """What the KL is the sum of, by name: dimensions if q and p factorise, groups of a ladder."""
    if kl is None:
        return {}
    parts = {
        "kl_per_dimension_nats": kl.kl_per_dimension_nats,
        "kl_per_group_nats": kl.kl_per_group_nats,
    }
    return {
        name: rows for name, rows in parts.items() if rows is not None and rows.isfinite().all()
    }


def _active_units(vae: VAE, x: Tensor) -> int | None:
    if vae.config.encoder is None or len(x) < 2:
        return None
    activity = Scorer(vae, x).activity()
    return active_units(activity) if activity.isfinite().all() else None
