"""The model card: a bundle's README.md, for a reader who knows nothing of this project.

`card.md.j2` has the sentences; the values that it quotes are gathered here, each from the bundle's
own config, evaluation and recipe.
"""

import tomllib
from functools import cache
from math import log, prod
from pathlib import Path
from typing import Any, get_args

import jinja2

from models.bundle.schema import BundleConfig, Evaluation, Provenance
from models.images.spec import ImageSpec
from models.vae.model import VAE
from models.vae_config import VAEConfig
from training.data.datasets import Dataset
from training.evaluation.baselines import DESCRIPTIONS
from training.evaluation.proportion import format_interval
from training.evaluation.quality_tables import (
    format_accuracy,
    name_embedding,
    name_reconstruction,
)
from training.evaluation.table import describe_estimator, format_optional, list_annealed
from training.recipes.loop import AugmentationConfig
from training.recipes.objective import ClassicalKind

TEMPLATE = Path(__file__).with_name("card.md.j2")

KINDS = {
    "ppca": "Probabilistic principal component analysis (Tipping and Bishop 1999), fitted in "
    "closed form and held by a variational autoencoder with affine networks,",
    "pca": "Principal components, held by an autoencoder with affine networks,",
    "gaussian_mixture": "A mixture of normals, fitted by expectation-maximisation and held by a "
    "variational autoencoder with a categorical latent,",
    "autoencoder": "A deterministic autoencoder",
}
"""Names of models by their objective; every other one trains a variational autoencoder."""
PRIORS = {
    "standard_normal": "standard normal",
    "mixture": "a learned mixture of normals",
    "vamp": "the mixture of the posteriors of learned pseudo-inputs (a VampPrior)",
    "label_normal": "a learned normal for each label",
    "categorical": "a learned distribution over its finitely many values",
    "top_down": "a chain of learned normals, each group given the next",
    "none": "absent, as in every autoencoder",
}
POSTERIORS = {
    "diagonal_normal": "a normal with independent dimensions",
    "full_normal": "a normal with a full covariance",
    "bottom_up": "a chain of normals, each group given the one before",
    "ladder": "a chain of normals from the top down, each combined with what the picture says",
    "enumerated": "the exact posterior, by going through all values",
    "point": "a point",
}
LIKELIHOODS = {
    "bernoulli": "a Bernoulli distribution per pixel",
    "continuous_bernoulli": "a continuous Bernoulli density per pixel",
    "discretized_logistic": "a discretised mixture of {likelihood.num_mixtures} logistics over "
    "{likelihood.levels} levels",
    "discretized_normal": "a discretised normal over {likelihood.levels} levels",
    "normal": "a normal density per pixel",
    "point": "a point: the decoder's output is the picture",
}
NETWORKS = {
    "mlp": "dense",
    "gated_mlp": "gated dense",
    "conv": "residual convolutional",
    "autoencoder_kl": "residual convolutional (AutoencoderKL)",
}
FITS = {
    "stretch": "stretched to it",
    "crop": "cropped about their centre and resized",
    "pad": "resized and padded",
}
LEVELS = {
    "none": "Pixels become {image.levels} levels.",
    "threshold": "Pixels become 0 or 1 at one half.",
    "stochastic": "Grey pixels become 1 with their grey value as the probability, always the same "
    "way for the same picture, as the training data were made; 0/1 pictures stay as they are.",
}
FLIPS = {
    "none": [],
    "horizontal": ["every second one was mirrored left to right"],
    "both": ["every second one was mirrored left to right, and every second one upside down"],
}


def write_card(config: BundleConfig, evaluation: Evaluation, dataset: Dataset, vae: VAE) -> str:
    """The card as Markdown."""
    return _template().render(
        config=config,
        evaluation=evaluation,
        dataset=dataset,
        vae=vae,
        image=config.image,
        split=_split(dataset),
        provenance=config.provenance,
        **_model(config.vae, vae),
        **_picture(config.image),
        **_numbers(evaluation, vae),
        **_training(config.provenance),
    )


@cache
def _template() -> jinja2.Template:
    """The template, compiled once in a process."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters["name"] = describe_estimator
    environment.filters["reconstructed"] = name_reconstruction
    environment.filters["embedded"] = name_embedding
    environment.filters["share"] = format_accuracy
    environment.filters["thousands"] = lambda value: f"{value:,}"
    environment.filters["fixed"] = lambda value, digits: format_optional(value, f".{digits}f")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _model(vae_config: VAEConfig, vae: VAE) -> dict[str, Any]:
    likelihood = vae_config.likelihood
    encoder, decoder = vae_config.encoder, vae_config.decoder
    start = "No" if encoder is None else f"A {NETWORKS[encoder.kind]}"
    return {
        "density": vae.has_density,
        "labelled": vae_config.num_labels > 0,
        "encodes": encoder is not None,
        "enumerated": vae_config.posterior.kind == "enumerated",
        "groups": len(vae_config.latent_groups),
        "latents": f"{prod(vae_config.latent_shape):,}",
        "prior": PRIORS[vae_config.prior.kind],
        "posterior": POSTERIORS[vae_config.posterior.kind],
        "likelihood": LIKELIHOODS[likelihood.kind].format(likelihood=likelihood),
        "networks": f"{start} encoder and a {NETWORKS[decoder.kind]} decoder",
        "parameters": sum(parameter.numel() for parameter in vae.parameters()),
    }


def _picture(image: ImageSpec) -> dict[str, Any]:
    colour = "colour" if image.channels == 3 else "grey"
    colour = "black-and-white" if image.levels == 2 else colour
    return {
        "images": f"{colour} images of {image.width} x {image.height} pixels",
        "fit": FITS[image.fit],
        "levels": LEVELS[image.binarization].format(image=image),
    }


def _least_variance(vae: VAE) -> str:
    """What the activity of a unit must exceed."""
    return "0.01 of that of p(z)" if vae.config.latent_groups else "0.01"


def _numbers(evaluation: Evaluation, vae: VAE) -> dict[str, Any]:
    estimates, dimensions = evaluation.estimates, vae.config.num_dimensions
    whole = [estimate for estimate in estimates if estimate.n == evaluation.num_images]
    best = whole[-1] if whole else None
    return {
        "exact": any(estimate.estimator == "exact" for estimate in estimates),
        "bits": any(estimate.bits_per_dim is not None for estimate in estimates),
        "subset": min((e.n for e in estimates if e.n < evaluation.num_images), default=0),
        "difference": next((e.difference for e in estimates if e.difference is not None), None),
        "annealed": list_annealed(evaluation),
        "dimensions": dimensions,
        "active": f"{evaluation.active_units} of {vae.num_latents} latent dimensions are active: "
        f"the variance over the data of the mean of q(z|x) is above {_least_variance(vae)}.",
        "classified": evaluation.classification,
        "interval": evaluation.classification and format_interval(evaluation.classification),
        "best": best,
        "best_error_bits": best and best.standard_error_nats / (dimensions * log(2)),
        "baselines": DESCRIPTIONS,
    }


def _training(provenance: Provenance) -> dict[str, Any]:
    recipe = tomllib.loads(provenance.recipe)
    objective = recipe.get("objective", {}).get("kind", "elbo")
    seconds = provenance.training_seconds
    return {
        "kind": KINDS.get(objective, "A variational autoencoder (Kingma and Welling 2014)"),
        "classical": objective in get_args(ClassicalKind),
        "start": recipe.get("start"),
        "took": f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds",
        "augmentation": _augmentation(recipe.get("augmentation", {})),
    }


def _split(dataset: Dataset) -> str:
    if not dataset.split_by:
        return f"The splits of `{dataset.name}` are fixed."
    return f"Split: {dataset.split_by}."


def _augmentation(table: dict[str, Any]) -> str:
    chosen = AugmentationConfig.model_validate(table)
    varied = list(FLIPS[chosen.flip])
    moves = {
        f"shifted by up to {chosen.crop_pixels} whole pixels": chosen.crop_pixels,
        f"rotated by {chosen.rotation_degrees:g} degrees": chosen.rotation_degrees,
        f"shifted by {chosen.shift_pixels:g} pixels": chosen.shift_pixels,
        f"scaled by {chosen.scale:.0%}": chosen.scale,
        f"sheared by {chosen.shear:g}": chosen.shear,
    }
    if made := [words for words, amount in moves.items() if amount > 0]:
        end = "the end" if chosen.until == 1 else f"{chosen.until:.0%} of the run"
        varied.append(
            f"at first {chosen.probability:.0%} of them, and fewer and fewer until {end}, were "
            f"{', '.join(made)} (standard deviations but for crops)"
        )
    if not varied:
        return "Training images were taken as they are."
    return f"Training images were varied at random: {'; '.join(varied)}."
