"""Capabilities of a model: the needs of operations that it meets, and why it lacks the others.

They follow from its config and the files that its bundle has, but for one, so that no weights are
needed to list them.
"""

from collections.abc import Collection, Container
from typing import get_args

import numpy as np

from app.operations.table import OPERATIONS, Abilities, Need, Operation
from models.bundle.latent_map import why_no_map
from models.vae_config import VAEConfig

_AUTOENCODER = "it is an autoencoder, which has no likelihood, prior or posterior"
_IMPORTED: dict[Need, str] = {
    "likelihood": "its decoder gives a picture, and no distribution of pixels",
    "prior": "its latents have no prior of their own: a diffusion model draws them",
}
_UNLABELLED = "it was trained without labels"


def unmet_needs(
    config: VAEConfig, *, exact_posterior: bool, kept: Collection[Need]
) -> dict[Need, str]:
    """The needs that a model does not meet, each with the reason.

    Args:
        config: The model's.
        exact_posterior: Whether its q(z|x) is p(z|x), which for some models the weights decide.
        kept: Those needs of files that its bundle meets.
    """
    mixture = config.posterior.kind == "enumerated"
    autoencoder = config.likelihood.kind == "point"
    likelihood, prior = (part.kind.replace("_", " ") for part in (config.likelihood, config.prior))
    reasons: dict[Need, str] = {}
    if mixture:
        reasons["encoder"] = "it is a mixture, whose components `classify` weighs"
    if autoencoder and config.posterior.kind == "point":
        reasons |= dict.fromkeys(_DISTRIBUTIONS, _AUTOENCODER)
    elif autoencoder:
        reasons |= _IMPORTED
    if config.prior.kind != "standard_normal":
        other = f"its prior is of the kind {prior}"
        reasons.setdefault("standard_normal_prior", reasons.get("prior", other))
    if not exact_posterior:
        reasons.setdefault("exact_posterior", "its posterior is an approximation")
    if config.likelihood.kind not in ("bernoulli", "continuous_bernoulli"):
        reasons.setdefault("logits", f"its likelihood is of the kind {likelihood}")
    if not config.num_labels:
        reasons["labels"] = _UNLABELLED
        if not mixture:
            reasons["classes"] = _UNLABELLED
    if why := why_no_map(config):
        reasons["map"] = why
    for need, reason in _FILES.items():
        if need not in kept:
            reasons.setdefault(need, reason)
    if config.classifier is None and not mixture:
        reasons["label_posterior"] = "it has no classifier"
    return reasons


_FILES: dict[Need, str] = {
    "good_pictures": "its bundle has no scores of good pictures that this version can use; "
    "`vae-lab calibrate` makes a version that has",
    "examples": "its bundle has no held-out pictures; `vae-lab illustrate` makes a version that "
    "has",
    "map": "its bundle has no map; `vae-lab illustrate` makes a version that has",
}
"""Needs that a bundle's optional files meet, and what is said where there is none."""
_DISTRIBUTIONS: tuple[Need, ...] = (
    "likelihood",
    "prior",
    "posterior",
    "standard_normal_prior",
    "exact_posterior",
    "logits",
)


def abilities(lacks: dict[Need, str]) -> Abilities:
    """The needs that are met."""
    return frozenset(get_args(Need)) - lacks.keys()


def offered_operations(lacks: Container[Need]) -> list[Operation]:
    """The operations that a model has which lacks these needs."""
    return [
        operation
        for operation in OPERATIONS.values()
        if not any(need in lacks for need in operation.needs)
    ]


def example_latents(config: VAEConfig) -> np.ndarray:
    """One latent that the model decodes, (1, *latent_shape)."""
    if config.posterior.kind == "enumerated":
        return np.eye(1, config.latent_shape[0])
    return np.full((1, *config.latent_shape), 0.5)
