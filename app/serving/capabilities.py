"""Capabilities of a model: the needs of operations that it meets, and why it lacks the others."""

from typing import get_args

import numpy as np

from app.operations.table import Abilities, Need
from models.estimators.exact import has_exact_posterior
from models.vae.model import VAE

_AUTOENCODER = "it is an autoencoder, which has no likelihood, prior or posterior"
_UNLABELLED = "it was trained without labels"


def unmet_needs(vae: VAE) -> dict[Need, str]:
    """The needs that a model does not meet, each with the reason."""
    config = vae.config
    mixture, autoencoder = config.posterior.kind == "enumerated", not vae.has_density
    likelihood, prior = (part.kind.replace("_", " ") for part in (config.likelihood, config.prior))
    reasons: dict[Need, str] = {}
    if mixture:
        reasons["encoder"] = "it is a mixture, whose components `classify` weighs"
    if autoencoder:
        reasons |= dict.fromkeys(_DISTRIBUTIONS, _AUTOENCODER)
    if config.prior.kind != "standard_normal":
        reasons.setdefault("standard_normal_prior", f"its prior is of the kind {prior}")
    if not has_exact_posterior(vae):
        reasons.setdefault("exact_posterior", "its posterior is an approximation")
    if config.likelihood.kind not in ("bernoulli", "continuous_bernoulli"):
        reasons.setdefault("logits", f"its likelihood is of the kind {likelihood}")
    if not vae.num_labels:
        reasons["labels"] = _UNLABELLED
        if not mixture:
            reasons["classes"] = _UNLABELLED
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


def example_latents(vae: VAE) -> np.ndarray:
    """One latent that the model decodes, (1, *latent_shape)."""
    if vae.config.posterior.kind == "enumerated":
        return np.eye(1, vae.num_latents)
    return np.full((1, *vae.latent_shape), 0.5)
