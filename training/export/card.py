"""The model card: what a bundle's README.md tells someone who knows nothing of this project.

Every number comes from the bundle's own config and evaluation.
"""

import tomllib
from math import prod
from typing import Any, get_args

from models.bundle.schema import BundleConfig, Evaluation, Provenance
from models.config import VAEConfig
from models.vae.model import VAE
from training.data.datasets import Dataset
from training.export.card_numbers import write_numbers
from training.recipes.loop import AugmentationConfig
from training.recipes.objective import ClassicalKind


def write_card(config: BundleConfig, evaluation: Evaluation, dataset: Dataset, vae: VAE) -> str:
    """The card as Markdown."""
    recipe = tomllib.loads(config.provenance.recipe)
    return f"""\
# {config.name}, version {config.version}

{_what_it_is(config, dataset, recipe)}
{_samples(config, vae)}
![reconstructions](reconstructions.png)

A row of test images, below it what the model makes of their latents, and so on\
{_about_reconstructions(vae)}

## Use

{_use(config)}

{_what_goes_in(config)}

## Numbers

{write_numbers(evaluation, vae)}

## Data

{_data(config, dataset)}

## Intended use and limits

- For study, demonstrations and tests of the service.
- It knows {_image_words(config)} like those of `{dataset.name}`. Anything else is made to fit, \
and what comes out of it means little.
{_SCORES_MEAN if vae.has_density else _NO_SCORES}
- Not for decisions about people, for identification or for medical use.

## How it was made

{_model(config, vae)}

{_training(config.provenance, recipe)}
"""


_SCORES_MEAN = (
    "- Scores say how probable an image is *under this model*. They compare only images of this "
    "kind, and a high score does not mean that an image belongs to the data: flat and simple ones "
    "often score higher than real ones."
)
_NO_SCORES = (
    "- It has no likelihood: how near a reconstruction comes says nothing of probabilities."
)

_KINDS = {
    "ppca": (
        "Probabilistic principal components (Tipping and Bishop 1999), fitted in closed form and "
        "held by a variational autoencoder with affine networks,"
    ),
    "pca": "Principal components, held by an autoencoder with affine networks,",
    "gaussian_mixture": (
        "A mixture of normals, fitted by expectation-maximisation and held by a variational "
        "autoencoder with a categorical latent,"
    ),
    "autoencoder": "A deterministic autoencoder",
}


def _what_it_is(config: BundleConfig, dataset: Dataset, recipe: dict[str, Any]) -> str:
    about = f": {dataset.about}" if dataset.about else ""
    kind = recipe.get("objective", {}).get("kind", "elbo")
    name = _KINDS.get(kind, "A variational autoencoder (Kingma and Welling 2014)")
    return (
        f"{name} of {_image_words(config)}, trained on `{dataset.name}`{about}. {_does(config.vae)}"
    )


def _does(vae: VAEConfig) -> str:
    size = f"{prod(vae.latent_shape):,}"
    if vae.likelihood.kind == "point":
        return (
            f"It turns a picture x into a latent z of {size} numbers and a latent into a picture. "
            "It has no distributions: it draws nothing, and nothing can be scored."
        )
    if vae.posterior.kind == "enumerated":
        return (
            f"It says to which of {size} components a picture belongs, draws new pictures, and "
            "says exactly how probable a picture is under the model."
        )
    layers = f" in {len(vae.latent_groups)} layers" if vae.latent_groups else ""
    given = ", both given a class" if vae.num_labels else ""
    asked = " It says which class a picture is of." if vae.num_labels else ""
    return (
        f"It turns a picture x into a latent z of {size} numbers{layers} and a latent into a "
        f"picture{given}, draws new pictures, and says how probable a picture is under the model."
        f"{asked}"
    )


def _samples(config: BundleConfig, vae: VAE) -> str:
    if not vae.has_density:
        return ""
    path = f"/v1/models/{config.name}/sample?n=64&seed=0"
    about = f"`GET {path}` gives the same ones in their own size."
    if vae.num_labels:
        about = "The classes take turns; `sample` takes one as `label`."
    return f"""
![samples](samples.png)

New images that the model draws: the mean of p(x|z), the picture that a latent z stands for, at \
random z. {about}
"""


def _about_reconstructions(vae: VAE) -> str:
    if not vae.has_density:
        return "."
    if vae.config.encoder is None:
        return ": the mean of p(x|z), averaged over the components by how probable they are."
    given = ", given the class that it finds most probable" if vae.num_labels else ""
    ancestral = ", each layer's given that of the one before" if vae.config.latent_groups else ""
    return f": p(x|z)'s mean at the mean of q(z|x){ancestral}{given}."


def _image_words(config: BundleConfig) -> str:
    colour = "colour" if config.image.channels == 3 else "grey"
    kind = "black-and-white" if config.image.levels == 2 else colour
    return f"{kind} images of {config.image.width} x {config.image.height} pixels"


_CALLS = {
    "sample": """\
curl "$MODEL/sample?n=16&seed=1" -o samples.png       # 16 new images in one picture
curl "$MODEL/sample?n=1&seed=2" -o picture.png        # or take a picture of your own""",
    "encode": """\
curl -F images=@picture.png "$MODEL/encode"           # its latent: mean and std of q(z|x)
curl -F images=@picture.png "$MODEL/reconstruct?format=png" -o back.png""",
    "score": """\
curl -F images=@picture.png "$MODEL/elbo?seed=1"      # how probable: elbo_nats, percentile
curl -F images=@picture.png "$MODEL/log-likelihood?seed=1"    # the same, more tightly""",
    "label": """\
curl "$MODEL/sample?n=16&seed=1&label=0" -o zeros.png # of one class, by its name or index""",
    "classify": """\
curl -F images=@picture.png "$MODEL/classify?seed=1"  # how probable each class is""",
}


def _calls(vae: VAEConfig) -> list[str]:
    """Which of the calls this model answers."""
    density, labels = vae.likelihood.kind != "point", vae.num_labels > 0
    categories = vae.posterior.kind == "enumerated"
    offered = {
        "sample": density,
        "encode": vae.encoder is not None,
        "score": density,
        "label": labels,
        "classify": labels or categories,
    }
    return [_CALLS[name] for name, is_offered in offered.items() if is_offered]


def _use(config: BundleConfig) -> str:
    calls = "\n".join(_calls(config.vae))
    return f"""\
`vae serve` serves it where `VAE_MODEL_REPOSITORY` is the folder that holds \
`{config.name}/{config.version}`.

```
MODEL=http://localhost:8000/v1/models/{config.name}
{calls}
curl "$MODEL"                                         # everything it can do
```"""


def _what_goes_in(config: BundleConfig) -> str:
    image = config.image
    fit = {
        "stretch": "are stretched to it",
        "crop": "are cropped about their centre and resized",
        "pad": "are resized and padded",
    }[image.fit]
    levels = {
        "none": f"pixels become {image.levels} levels",
        "threshold": "pixels become 0 or 1 at one half",
        "stochastic": (
            "grey pixels become 1 with their grey value as the probability, always the same way "
            "for the same picture, since the data were made so; 0/1 pictures stay as they are"
        ),
    }[image.binarization]
    colour = "colour becomes grey, and " if image.channels == 1 else ""
    return (
        f"Pictures of another size than {image.width} x {image.height} {fit} ({image.resample}); "
        f"{colour}{levels}. What was done to a picture is in every answer."
    )


def _data(config: BundleConfig, dataset: Dataset) -> str:
    return (
        f"`{dataset.name}`: {len(dataset.train):,} images for training, "
        f"{len(dataset.validation):,} for choosing the weights, {len(dataset.test):,} held out. "
        f"{_labels(config)}Licence of the data, as their source states it: {dataset.licence}. The "
        "weights are under this project's licence, MIT. sha256 of the data's content: "
        f"`{config.provenance.dataset_sha256}`."
    )


def _labels(config: BundleConfig) -> str:
    if not config.labels:
        return ""
    names = ", ".join(f"`{name}`" for name in config.labels)
    use = (
        "every operation takes one as `label`"
        if config.vae.num_labels
        else "the model was trained without them"
    )
    return f"They are of {len(config.labels)} classes, {names}; {use}. "


def _model(config: BundleConfig, vae: VAE) -> str:
    parameters = sum(p.numel() for p in vae.parameters())
    latent = " x ".join(map(str, config.vae.latent_shape))
    prior = _PRIOR_WORDS[config.vae.prior.kind]
    return (
        f"Latents have the shape {latent}. The prior p(z) is {prior}, the approximate posterior "
        f"q(z|x) {_POSTERIOR_WORDS[config.vae.posterior.kind]}, the "
        f"likelihood p(x|z) {_likelihood_words(config.vae)}. {_network_words(config.vae)}: "
        f"{parameters:,} parameters. Decoding one latent takes {vae.decoder_macs() / 1e6:.2f} "
        "million multiply-accumulates."
    )


_PRIOR_WORDS = {
    "standard_normal": "standard normal",
    "mixture": "a learned mixture of normals",
    "vamp": "the mixture of the posteriors of learned pseudo-inputs (a VampPrior)",
    "label_normal": "a learned normal for each label",
    "categorical": "a learned distribution over its finitely many values",
    "top_down": "a chain of learned normals, one group given the next",
    "none": "none: an autoencoder's",
}
_POSTERIOR_WORDS = {
    "diagonal_normal": "a normal with independent dimensions",
    "full_normal": "a normal with a full covariance",
    "bottom_up": "a chain of normals, one group given the one before",
    "ladder": "a chain of normals from the top down, each merged with what the picture says",
    "enumerated": "the exact posterior, by going through all values",
    "point": "a point",
}
_LIKELIHOOD_WORDS = {
    "bernoulli": "a Bernoulli distribution per pixel",
    "continuous_bernoulli": "a continuous Bernoulli density per pixel",
    "normal": "a normal density per pixel",
    "point": "a point: the decoder's output is the picture",
}


def _likelihood_words(vae: VAEConfig) -> str:
    likelihood = vae.likelihood
    if likelihood.kind == "discretized_logistic":
        return (
            f"a discretised mixture of {likelihood.num_mixtures} logistics over "
            f"{likelihood.levels} levels"
        )
    if likelihood.kind == "discretized_normal":
        return f"a discretised normal over {likelihood.levels} levels"
    return _LIKELIHOOD_WORDS[likelihood.kind]


def _network_words(vae: VAEConfig) -> str:
    words = {"mlp": "dense", "gated_mlp": "gated dense", "conv": "residual convolutional"}
    encoder = f"A {words[vae.encoder.kind]}" if vae.encoder is not None else "No"
    return f"{encoder} encoder and a {words[vae.decoder.kind]} decoder"


def _training(provenance: Provenance, recipe: dict[str, Any]) -> str:
    minutes = provenance.training_seconds / 60
    took = (
        f"{minutes:.0f} minutes" if minutes >= 2 else f"{provenance.training_seconds:.0f} seconds"
    )
    start = recipe.get("start")
    before = f" (`vae-lab train {start}` and this one after it together)" if start else ""
    chosen = (
        "The weights are a running average, those of the epoch "
        f"({provenance.epochs:g}) that scored best on the validation split."
    )
    if recipe.get("objective", {}).get("kind") in get_args(ClassicalKind):
        chosen = "Nothing was trained by gradients: the weights are the fitted model's own."
    return f"""\
`vae-lab train recipe.toml` with the recipe below{before}, seed {provenance.seed}, took {took} on \
{provenance.hardware} with torch {provenance.torch_version} (code version \
{provenance.code_version}, {provenance.created_at}). {_augmentation(recipe)} {chosen}

```toml
{provenance.recipe.strip()}
```"""


def _augmentation(recipe: dict[str, Any]) -> str:
    chosen = AugmentationConfig.model_validate(recipe.get("augmentation", {}))
    if chosen == AugmentationConfig():
        return "Training images were taken as they are."
    flips = {
        "none": [],
        "horizontal": ["every second one was mirrored left to right"],
        "both": ["every second one was mirrored left to right, and every second one upside down"],
    }[chosen.flip]
    moves = [
        words
        for amount, words in (
            (chosen.crop_pixels, f"shifted by up to {chosen.crop_pixels} whole pixels"),
            (chosen.rotation_degrees, f"rotated by {chosen.rotation_degrees:g} degrees"),
            (chosen.shift_pixels, f"shifted by {chosen.shift_pixels:g} pixels"),
            (chosen.scale, f"scaled by {chosen.scale:.0%}"),
            (chosen.shear, f"sheared by {chosen.shear:g}"),
        )
        if amount
    ]
    if moves:
        part = f"at first {chosen.probability:.0%} of them, and fewer and fewer until "
        end = "the end" if chosen.until == 1 else f"{chosen.until:.0%} of the run"
        flips.append(f"{part}{end}, were {', '.join(moves)} (standard deviations but for crops)")
    return f"Training images were varied at random: {'; '.join(flips)}."
