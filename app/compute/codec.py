"""What each operation does, on arrays; it knows no HTTP and no file. `scoring.py` has the scores.

Each function is a generator that yields between chunks of work and returns an `Answer`, so that a
scheduler may interleave and stop it. Noise comes from the request's seed and an item's index alone.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from app.compute.cost import groups
from app.compute.inputs import Inputs, noise_of, x_of, z_of
from app.compute.labels import drawn_labels, given_labels, label_used, most_probable_labels
from app.compute.latents import latent_groups
from app.compute.paths import PATHS
from app.errors import InvalidParameter
from app.operations.parameters import (
    DecodeParameters,
    EncodeParameters,
    InterpolateParameters,
    ReconstructParameters,
    SampleParameters,
)
from app.operations.result import Answer
from app.serving.served_model import ServedModel
from models.distributions.kl import has_analytic_kl, kl_divergence
from models.errors import OutOfSupport
from models.estimators.steps import Steps
from models.images import to_unit


@torch.no_grad()
def encode(
    served: ServedModel, inputs: Inputs, parameters: EncodeParameters, seed: int
) -> Steps[Answer]:
    """q(z|x) of each image, its KL to the prior, and draws from it if asked for."""
    vae, can = served.vae, served.capabilities
    rows: dict[str, list[Tensor]] = {"mean": [], "std": [], "kl_nats": [], "samples": []}
    labels = []
    for part in groups(served, inputs, inputs.num_items, draws_per_item=parameters.num_samples):
        x = x_of(served, inputs, part)
        y = yield from most_probable_labels(served, inputs, x)
        labels.append(y)
        q: Any = vae.posterior(x, y)
        rows["mean"].append(q.mean)
        if "posterior" in can:
            rows["std"].append(q.scale)
            prior = vae.prior(y)
            if has_analytic_kl(q, prior):
                rows["kl_nats"].append(kl_divergence(q, prior).double())
        if parameters.num_samples:
            noise = noise_of(seed, part, "posterior", parameters.first_item)
            draws = noise.draw_for(q, parameters.num_samples, dtype=x.dtype)
            rows["samples"].append(q.from_noise(draws.to(served.device)).transpose(0, 1))
        yield
    columns: dict[str, Any] = {"mean": None, "std": None, "kl_nats": None}
    columns |= {name: _numpy(torch.cat(tensors)) for name, tensors in rows.items() if tensors}
    facts: dict[str, Any] = {"mean_kind": "posterior"}
    if vae.config.latent_groups:
        facts = {"mean_kind": "ancestral", "groups": latent_groups(vae)}
    return Answer(columns, facts=facts | label_used(served, labels))


@torch.no_grad()
def decode(
    served: ServedModel, inputs: Inputs, parameters: DecodeParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) of each latent: its mean, a draw, or its logits."""
    images, labels = [], []
    for part in groups(served, inputs, inputs.num_items):
        z = z_of(served, inputs, part)
        y = given_labels(served, inputs, len(z))
        labels.append(y)
        images.append(_decode(served, z, y, part, parameters, seed))
        yield
    name = "logits" if parameters.output == "logits" else "images"
    facts = {"output": parameters.output, **label_used(served, labels)}
    return Answer({name: np.concatenate(images)}, facts=facts)


@torch.no_grad()
def reconstruct(
    served: ServedModel, inputs: Inputs, parameters: ReconstructParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) at the posterior mean of each image."""
    images, latents, labels = [], [], []
    for part in groups(served, inputs, inputs.num_items):
        x = x_of(served, inputs, part)
        y = yield from most_probable_labels(served, inputs, x)
        labels.append(y)
        z = served.vae.posterior(x, y).mean
        latents.append(_numpy(z))
        images.append(_decode(served, z, y, part, parameters, seed))
        yield
    columns = {"images": np.concatenate(images), "latents": np.concatenate(latents)}
    facts = {"output": parameters.output, **label_used(served, labels)}
    return Answer(columns, facts=facts)


@torch.no_grad()
def sample(
    served: ServedModel, inputs: Inputs, parameters: SampleParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) at latents from the prior, whose normals the temperature scales."""
    first_item = parameters.first_item
    images, latents, labels = [], [], []
    for part in groups(served, inputs, parameters.n):
        y = drawn_labels(served, inputs, part, seed=seed, first_item=first_item)
        labels.append(y)
        prior = served.vae.prior(y)
        noise = noise_of(seed, part, "prior", first_item).draw_for(prior, 1)[0]
        z = prior.from_noise(noise.to(served.device), temperature=parameters.temperature)
        latents.append(_numpy(z))
        images.append(_decode(served, z, y, part, parameters, seed))
        yield
    facts = {
        "output": parameters.output,
        "temperature": parameters.temperature,
        "is_model_sample": parameters.temperature == 1.0,
        **label_used(served, labels),
    }
    columns = {"images": np.concatenate(images), "latents": np.concatenate(latents)}
    return Answer(columns, facts=facts)


@torch.no_grad()
def interpolate(
    served: ServedModel, inputs: Inputs, parameters: InterpolateParameters, seed: int
) -> Steps[Answer]:
    """p(x|z)'s mean along a path between two latents, or two images' posterior means."""
    label = inputs.label
    if inputs.x is not None:
        x = x_of(served, inputs, slice(0, 2))
        y = yield from most_probable_labels(served, inputs, x)
        label = _one_label(served, y)
        ends = _numpy(served.vae.posterior(x, y).mean)
        yield
    else:
        ends = cast(np.ndarray, inputs.latents)
    path = PATHS[parameters.path](ends[0].astype(np.float64), ends[1].astype(np.float64))
    weights = np.linspace(0.0, 1.0, parameters.steps)
    latents = np.stack([path(weight) for weight in weights]).astype(np.float32)
    latents[0], latents[-1] = ends[0], ends[1]
    along = Inputs(latents=latents, label=label)
    images, labels = [], []
    for part in groups(served, along, parameters.steps):
        z = z_of(served, along, part)
        labels.append(given_labels(served, along, len(z)))
        images.append(_picture(served, served.vae.likelihood(z, labels[-1]).mean, part))
        yield
    columns = {"images": np.concatenate(images), "latents": latents}
    facts = {"path": parameters.path, "steps": parameters.steps, **label_used(served, labels)}
    return Answer(columns, facts=facts)


def _one_label(served: ServedModel, y: Tensor | None) -> int | None:
    """The label that both ends of a path share."""
    if y is None:
        return None
    first, last = y.tolist()
    if first != last:
        raise InvalidParameter(
            "Images are interpolated under one label; the most probable ones of these are "
            f"{served.labels[first]} and {served.labels[last]}. Add `label`."
        )
    return int(first)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _decode(
    served: ServedModel, z: Tensor, y: Tensor | None, part: slice, parameters: Any, seed: int
) -> np.ndarray:
    """Images in 0..1 (or logits) of some latents, float32 (N, C, H, W), as `output` says."""
    likelihood: Any = served.vae.likelihood(z, y)
    if parameters.output == "logits":
        _refuse_non_finite(likelihood.logits, part.start)
        return _numpy(likelihood.logits)
    if parameters.output == "mean":
        return _picture(served, likelihood.mean, part)
    noise = noise_of(seed, part, "likelihood", parameters.first_item)
    draws = noise.draw_for(likelihood, 1, dtype=z.dtype)[0]
    return _picture(served, likelihood.from_noise(draws.to(z.device)), part)


def _picture(served: ServedModel, values: Tensor, part: slice) -> np.ndarray:
    """Values of pixels in 0..1, float32 (N, C, H, W)."""
    _refuse_non_finite(values, part.start)
    return np.asarray(to_unit(values.cpu(), served.bundle.config.image), dtype=np.float32)


def _refuse_non_finite(values: Tensor, start: int) -> None:
    finite = values.flatten(1).isfinite().all(1)
    if bool(finite.all()):
        return
    rows = torch.nonzero(~finite).flatten().tolist()
    items = tuple((start + row, "decodes to something not finite") for row in rows)
    raise OutOfSupport(
        f"A latent decodes to finite pixels; {len(items)} do not (first: item {items[0][0]}). Send "
        "latents nearer to the origin.",
        items=items,
    )
