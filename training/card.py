"""The model card: what a bundle's README.md tells someone who knows nothing of this project.

It computes no number; every one comes from the bundle's own config and evaluation.
"""

import tomllib

from models.bundle_schema import BundleConfig, Estimate, Evaluation, Provenance
from models.config import VAEConfig
from models.vae import VAE
from training.datasets import Dataset
from training.evaluate import describe_estimator, format_optional

_ERRORS = ("error, images", "error, draws")


def write_card(config: BundleConfig, evaluation: Evaluation, dataset: Dataset, vae: VAE) -> str:
    """The card as Markdown."""
    return f"""\
# {config.name}, version {config.version}

{_what_it_is(config, dataset, vae)}

![samples](samples.png)

Samples: means of p(x|z) at draws z from the prior.
`GET /v1/models/{config.name}/sample?n=64&seed=0` gives the same images, in their own size.

![reconstructions](reconstructions.png)

Reconstructions: a row of random test images, below it the mean of p(x|z) at the posterior's mean,
and so on.

## Use

```
curl -o samples.png 'localhost:8000/v1/models/{config.name}/sample?n=16&seed=1'
curl --data-binary @image.png -H 'Content-Type: image/png' \\
  'localhost:8000/v1/models/{config.name}/elbo?seed=1'
```

{_what_goes_in(config)}

## Numbers

On the {evaluation.split} split of `{evaluation.dataset}`, {evaluation.num_images:,} images that \
training and the choice of the weights never saw.

{_numbers(evaluation)}

- Rate (mean KL from the posterior to the prior) {evaluation.rate_nats:.2f} nats, distortion \
(mean of -log p(x|z) under the posterior) {evaluation.distortion_nats:.2f} nats; \
{evaluation.active_units} of {vae.num_latents} latents are active (variance of the posterior mean \
over the data above 0.01).
- Higher is better, except for bits per dim. Every bound lies below log p(x) in expectation; bits \
per dim from a bound are an upper bound.
- "Error, images" is the standard error of the mean over images; "error, draws" is the part of the \
uncertainty that the random draws alone bring. {_subset_note(evaluation)}

`evaluation.json` has these numbers unrounded, and the sorted scores behind percentiles.

## Data

{_data(config.provenance, dataset)}

## Intended use and limits

- For study, demonstrations and tests of the service. The scores say how probable an image is \
*under this model*; they are comparable only between images of this kind, and a high score does \
not mean that an image belongs to the data: flat and simple ones often score higher than real ones.
- It knows {_image_words(config)} like those of `{dataset.name}`. Anything else is resized to fit, \
and what comes out of it means little.
- Not for decisions about people, for identification or for medical use.

## How it was trained

{_training(config.provenance)}
"""


def _what_it_is(config: BundleConfig, dataset: Dataset, vae: VAE) -> str:
    parameters = sum(p.numel() for p in vae.parameters())
    latent = " x ".join(map(str, config.vae.latent_shape))
    return (
        f"A variational autoencoder (Kingma and Welling 2014) of {_image_words(config)}, trained "
        f"on `{dataset.name}`. It has {latent} latents with a standard normal prior, "
        f"{_likelihood_words(config.vae)} as its likelihood, {_network_words(config.vae)}, and "
        f"{parameters:,} parameters. Decoding one latent takes "
        f"{vae.decoder_macs() / 1e6:.2f} million multiply-accumulates."
    )


def _image_words(config: BundleConfig) -> str:
    colour = "colour" if config.image.channels == 3 else "grey"
    kind = "binary" if config.image.levels == 2 else colour
    return f"{kind} images of {config.image.width} x {config.image.height} pixels"


def _likelihood_words(vae: VAEConfig) -> str:
    likelihood = vae.likelihood
    if likelihood.kind == "discretized_logistic":
        return (
            f"a discretised mixture of {likelihood.num_mixtures} logistics over "
            f"{likelihood.levels} levels"
        )
    if likelihood.kind == "discretized_normal":
        return f"a discretised normal over {likelihood.levels} levels"
    return {
        "bernoulli": "a Bernoulli distribution per pixel",
        "continuous_bernoulli": "a continuous Bernoulli density per pixel",
        "normal": "a normal density per pixel",
    }[likelihood.kind]


def _network_words(vae: VAEConfig) -> str:
    words = {"mlp": "dense", "gated_mlp": "gated dense", "conv": "residual convolutional"}
    encoder = f"a {words[vae.encoder.kind]}" if vae.encoder is not None else "no"
    return f"{encoder} encoder and a {words[vae.decoder.kind]} decoder"


def _what_goes_in(config: BundleConfig) -> str:
    image = config.image
    size = f"Pictures of another size than {image.width} x {image.height} are resized ({image.fit})"
    levels = {
        "none": f"pixels become {image.levels} levels",
        "threshold": "pixels become 0 or 1 at one half",
        "stochastic": (
            "grey pixels become 1 with their grey value as the probability, always the same way "
            "for the same picture, since the data were made so; 0/1 pictures stay as they are"
        ),
    }[image.binarization]
    return f"{size}; {levels}. What was done is in every answer."


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


def _subset_note(evaluation: Evaluation) -> str:
    subset = {e.n for e in evaluation.estimates if e.n < evaluation.num_images}
    if not subset:
        return ""
    return f"Rows of {min(subset):,} images are of a random subset that the seed chooses."


def _data(provenance: Provenance, dataset: Dataset) -> str:
    return (
        f"`{dataset.name}`: {dataset.about}. {len(dataset.train):,} images for "
        f"training, {len(dataset.validation):,} for choosing the weights, {len(dataset.test):,} "
        f"held out. Licence of the data, as their source states it: {dataset.licence}. The weights "
        f"are under this project's licence, MIT. sha256 of the data's content: "
        f"`{provenance.dataset_sha256}`."
    )


def _training(provenance: Provenance) -> str:
    minutes = provenance.training_seconds / 60
    took = (
        f"{minutes:.0f} minutes" if minutes >= 2 else f"{provenance.training_seconds:.0f} seconds"
    )
    start = tomllib.loads(provenance.recipe).get("start")
    before = f" (`vae-lab train {start}` and this one after it together)" if start else ""
    return f"""\
`vae-lab train recipe.toml` with the recipe below{before}, seed {provenance.seed}, took {took} on \
{provenance.hardware} with torch {provenance.torch_version} (code version \
{provenance.code_version}, {provenance.created_at}). The weights are a running average, those of \
the epoch ({provenance.epochs:g}) that scored best on the validation split.

```toml
{provenance.recipe.strip()}
```"""
