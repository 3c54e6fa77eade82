"""The model card: what a bundle's README.md tells someone who knows nothing of this project.

Every number comes from the bundle's own config and evaluation.
"""

import tomllib
from math import log, prod
from typing import Any

from models.bundle_schema import BundleConfig, Estimate, Evaluation, Provenance
from models.config import VAEConfig
from models.vae import VAE
from training.baselines import DESCRIPTIONS
from training.config import AugmentationConfig
from training.datasets import Dataset
from training.evaluate import describe_estimator, format_optional

_ERRORS = ("error, images", "error, draws")


def write_card(config: BundleConfig, evaluation: Evaluation, dataset: Dataset, vae: VAE) -> str:
    """The card as Markdown."""
    recipe = tomllib.loads(config.provenance.recipe)
    return f"""\
# {config.name}, version {config.version}

{_what_it_is(config, dataset)}

![samples](samples.png)

New images that the model draws: the mean of p(x|z), the picture that a latent z stands for, at \
random z. {_about_samples(config)}

![reconstructions](reconstructions.png)

A row of test images, below it what the model makes of their latents, and so on: p(x|z)'s mean at \
the mean of q(z|x).

## Use

{_use(config)}

{_what_goes_in(config)}

## Numbers

How probable the model finds the {evaluation.split} split of `{evaluation.dataset}`: \
{evaluation.num_images:,} images that neither training nor the choice of the weights has seen.

{_numbers(evaluation)}

- *Nats* are natural logarithms of probabilities, the mean over images: higher is better. Both \
kinds of row are bounds: in expectation they lie below log p(x), the more draws (K) the closer.
{_bits_note(evaluation, vae)}
- "Error, images" is the standard error of that mean over images; "error, draws" is the part of it \
that the random draws bring.{_subset_note(evaluation)}
- A latent costs {evaluation.rate_nats:.2f} nats (rate, the mean KL from q(z|x) to the prior), the \
picture given its latent {evaluation.distortion_nats:.2f} nats (distortion); \
{evaluation.active_units} of {vae.num_latents} latent dimensions carry something (the mean of \
q(z|x) varies over the data by more than 0.01).
{_baselines(evaluation, vae)}
`vae-lab evaluate` on this folder repeats the numbers; `evaluation.json` has them unrounded, and \
the sorted scores of single images, among which the service finds percentiles.

## Data

{_data(config, dataset)}

## Intended use and limits

- For study, demonstrations and tests of the service.
- It knows {_image_words(config)} like those of `{dataset.name}`. Anything else is made to fit, \
and what comes out of it means little.
- Scores say how probable an image is *under this model*. They compare only images of this kind, \
and a high score does not mean that an image belongs to the data: flat and simple ones often score \
higher than real ones.
- Not for decisions about people, for identification or for medical use.

## How it was made

{_model(config, vae)}

{_training(config.provenance, recipe)}
"""


def _what_it_is(config: BundleConfig, dataset: Dataset) -> str:
    about = f": {dataset.about}" if dataset.about else ""
    return (
        f"A variational autoencoder (Kingma and Welling 2014) of {_image_words(config)}, trained "
        f"on `{dataset.name}`{about}. It turns a picture x into a latent z of "
        f"{prod(config.vae.latent_shape):,} numbers and a latent into a picture, draws new "
        "pictures, and says how probable a picture is under the model."
    )


def _about_samples(config: BundleConfig) -> str:
    if config.vae.num_labels:
        return "The classes take turns."
    path = f"/v1/models/{config.name}/sample?n=64&seed=0"
    return f"`GET {path}` gives the same ones in their own size."


def _image_words(config: BundleConfig) -> str:
    colour = "colour" if config.image.channels == 3 else "grey"
    kind = "black-and-white" if config.image.levels == 2 else colour
    return f"{kind} images of {config.image.width} x {config.image.height} pixels"


def _use(config: BundleConfig) -> str:
    return f"""\
`vae serve` serves it where `VAE_MODEL_REPOSITORY` is the folder that holds \
`{config.name}/{config.version}`.

```
MODEL=http://localhost:8000/v1/models/{config.name}
curl "$MODEL/sample?n=16&seed=1" -o samples.png       # 16 new images in one picture
curl "$MODEL/sample?n=1&seed=2" -o picture.png        # or take a picture of your own
curl -F images=@picture.png "$MODEL/encode"           # its latent: mean and std of q(z|x)
curl -F images=@picture.png "$MODEL/reconstruct?format=png" -o back.png
curl -F images=@picture.png "$MODEL/elbo?seed=1"      # how probable: elbo_nats, percentile
curl -F images=@picture.png "$MODEL/log-likelihood?seed=1"    # the same, more tightly
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


def _numbers(evaluation: Evaluation) -> str:
    rows = [
        _line("estimate", "images", "nats per image", *_ERRORS, "bits per dim", "seed"),
        _line(*["---"] * 7),
        *(_row(estimate) for estimate in evaluation.estimates),
    ]
    return "\n".join(rows)


def _row(estimate: Estimate) -> str:
    return _line(
        describe_estimator(estimate),
        f"{estimate.n:,}",
        f"{estimate.mean_nats:.2f}",
        f"{estimate.standard_error_nats:.2f}",
        format_optional(estimate.monte_carlo_error_nats, ".3f"),
        format_optional(estimate.bits_per_dim, ".4f"),
        str(estimate.seed),
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _bits_note(evaluation: Evaluation, vae: VAE) -> str:
    if all(estimate.bits_per_dim is None for estimate in evaluation.estimates):
        return "- The likelihood is a density, so that nats depend on the scale of pixels, 0..1."
    shape = " x ".join(map(str, vae.image_shape))
    return (
        "- *Bits per dim* are the same per number of an image "
        f"({shape} = {vae.config.num_dimensions:,} of them) in binary: what a perfect compressor "
        "with this model would need at most. Lower is better."
    )


def _subset_note(evaluation: Evaluation) -> str:
    subset = {e.n for e in evaluation.estimates if e.n < evaluation.num_images}
    if not subset:
        return ""
    return f" Rows of {min(subset):,} images are of a random subset that the seed chooses."


def _baselines(evaluation: Evaluation, vae: VAE) -> str:
    if not evaluation.baselines:
        return ""
    best = [e for e in evaluation.estimates if e.n == evaluation.num_images][-1]
    rows = [
        _line("the same images by", "images", "bits per dim", "error, images"),
        _line(*["---"] * 4),
        _line(
            f"this model, {describe_estimator(best)}",
            f"{best.n:,}",
            format_optional(best.bits_per_dim, ".4f"),
            f"{best.standard_error_nats / (vae.config.num_dimensions * log(2)):.4f}",
        ),
        *(
            _line(
                DESCRIPTIONS[baseline.kind],
                f"{baseline.n:,}",
                f"{baseline.bits_per_dim:.4f}",
                format_optional(baseline.standard_error_bits_per_dim, ".4f"),
            )
            for baseline in evaluation.baselines
        ),
    ]
    files = len(evaluation.baselines) > 1
    note = (
        " Lossless files of the same levels count with all their bytes: a file per image begins "
        "with what any file of its format does (57 bytes of a PNG), which weighs much in a small "
        "image; stacked, the images share a few tall files."
    )
    return "\n".join(
        [
            "",
            *rows,
            "",
            "The histogram takes every pixel for itself, with how often each level occurs there in "
            f"the training images (and once more).{note if files else ''}",
            "",
        ]
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
    return f"""\
`vae-lab train recipe.toml` with the recipe below{before}, seed {provenance.seed}, took {took} on \
{provenance.hardware} with torch {provenance.torch_version} (code version \
{provenance.code_version}, {provenance.created_at}). {_augmentation(recipe)} The weights are a \
running average, those of the epoch ({provenance.epochs:g}) that scored best on the validation \
split.

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
