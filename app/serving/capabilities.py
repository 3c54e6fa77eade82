"""Capabilities of a model: the needs of operations that it meets, and why it lacks the others.

They follow from its config, but for one, so that no weights are needed to list them.
"""

from collections.abc import Container
from typing import get_args

import numpy as np

from app.operations.table import OPERATIONS, Abilities, Need, Operation
from models.vae_config import VAEConfig

_AUTOENCODER = "it is an autoencoder, which has no likelihood, prior or posterior"
_UNLABELLED = "it was trained without labels"


def unmet_needs(
    config: VAEConfig, *, exact_posterior: bool, good_pictures: bool
) -> dict[Need, str]:
    """The needs that a model does not meet, each with the reason.

    Args:
        config: The model's.
        exact_posterior: Whether its q(z|x) is p(z|x), which for some models the weights decide.
        good_pictures: Whether its bundle has scores of good pictures.
    """
    mixture = config.posterior.kind == "enumerated"
    autoencoder = config.likelihood.kind == "point"
    likelihood, prior = (part.kind.replace("_", " ") for part in (config.likelihood, config.prior))
    reasons: dict[Need, str] = {}
    if mixture:
        reasons["encoder"] = "it is a mixture, whose components `classify` weighs"
    if autoencoder:
        reasons |= dict.fromkeys(_DISTRIBUTIONS, _AUTOENCODER)
    if config.prior.kind != "standard_normal":
        reasons.setdefault("standard_normal_prior", f"its prior is of the kind {prior}")
    if not exact_posterior:
        reasons.setdefault("exact_posterior", "its posterior is an approximation")
    if config.likelihood.kind not in ("bernoulli", "continuous_bernoulli"):
        reasons.setdefault("logits", f"its likelihood is of the kind {likelihood}")
    if not config.num_labels:
        reasons["labels"] = _UNLABELLED
        if not mixture:
            reasons["classes"] = _UNLABELLED
    if not good_pictures:
        reasons["good_pictures"] = (
            "its bundle has no scores of good pictures that this version can use; "
            "`vae-lab calibrate` makes a version that has"
        )
    if config.classifier is None and not mixture:
        reasons["label_posterior"] = "it has no classifier"
    return reasons


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
