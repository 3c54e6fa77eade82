"""Reconstructions of held-out images: the model's errors beside those of a PCA of the same size.

A perceptual distance by a trained network (LPIPS) is left out: its weights come with no package
that this project depends on.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Any, get_args

import numpy as np
import torch

from models.bundle.schema import Evaluation, Reconstruction
from models.estimators.reconstruction import PictureErrors, picture_errors
from models.vae_config import may_have_principal_path
from training.evaluation.components import Components
from training.evaluation.scoring import BATCH_SIZE, Images
from training.recipes.objective import ClassicalKind

_WORSE = 1.01
"""A model within 1 % of the PCA counts as equal: the PCA is fitted to a subset, and rounded."""


def summarise_model(errors: PictureErrors) -> Reconstruction:
    """The errors of the model's reconstructions."""
    return Reconstruction(kind="model", **_means(errors))


def reconstruct_by_components(
    components: Components, x: Images, *, unit_scale: float
) -> Reconstruction:
    """The errors of the same images' reconstructions by principal components.

    Args:
        components: Fitted to training images on the scale of x.
        x: Held-out images.
        unit_scale: x / unit_scale lies in 0..1.
    """
    found = []
    for batch in x.split(BATCH_SIZE):
        rows = np.ascontiguousarray(batch.flatten(1).float().numpy())
        pictures = torch.from_numpy(components.decode(components.encode(rows)))
        found.append(picture_errors(batch, pictures.reshape(batch.shape), unit_scale=unit_scale))
    errors = PictureErrors(*map(torch.cat, zip(*found, strict=True)))
    count, num_train = len(components.axes), components.num_train
    return Reconstruction(kind="pca", num_components=count, num_train=num_train, **_means(errors))


def _means(errors: PictureErrors) -> dict[str, Any]:
    error, ssim = errors
    return {
        "n": len(error),
        "mean_squared_error": float(error.mean()),
        "standard_error": float(error.std() / sqrt(len(error))),
        "ssim": float(ssim.mean()),
        "standard_error_ssim": float(ssim.std() / sqrt(len(ssim))),
    }


def advise(evaluation: Evaluation, recipe: Mapping[str, Any]) -> str | None:
    """What to try where the model reconstructs worse than the PCA; None where it does not.

    Classical models are what they are: there is nothing to try.

    Args:
        evaluation: Of the model.
        recipe: Its tables, as TOML or JSON has them.
    """
    by_kind = {found.kind: found for found in evaluation.reconstructions}
    objective, training = recipe.get("objective", {}), recipe.get("training", {})
    kind = objective.get("kind", "elbo")
    if len(by_kind) < 2 or kind in get_args(ClassicalKind):
        return None
    model, pca = by_kind["model"], by_kind["pca"]
    if model.mean_squared_error <= _WORSE * pca.mean_squared_error:
        return None
    active, count = evaluation.active_units, pca.num_components or 0
    why = ""
    vae = recipe.get("vae", {})
    likelihood = vae.get("likelihood", {}).get("kind")
    if may_have_principal_path(vae) and not vae.get("principal_path"):
        option = "--set vae.principal_path=true, to begin at that PCA"
    elif likelihood == "discretized_logistic":
        option = "--for reconstruction if errors matter more than bits per dim, or train longer"
    elif kind == "elbo" and active < count:
        why = f": {active} of its latent dimensions are active"
        option = f"--set objective.beta={objective.get('beta', 1.0) / 2:g}"
    else:
        option = f"--set training.epochs={2 * training.get('epochs', 100)}"
    return (
        f"Reconstructions are worse than those of a PCA with {count} components (mean squared "
        f"error {model.mean_squared_error:.5f} instead of {pca.mean_squared_error:.5f}){why}. "
        f"Train again with {option}."
    )
