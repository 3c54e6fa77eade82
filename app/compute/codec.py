"""Operations between images and latents: encode, decode, reconstruct, sample, interpolate.

Each function is a generator that yields between chunks of work and returns an `Answer`, so that a
scheduler may interleave and stop it. Noise comes from the request's seed and an item's index alone.
"""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from app.compute.cost import groups
from app.compute.inputs import Inputs
from app.compute.labels import drawn_labels, given_labels, label_used, most_probable_labels
from app.compute.latents import latent_groups
from app.compute.paths import PATHS
from app.compute.pixels import decode_latents, to_pixels
from app.compute.request import ComputeRequest
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
from models.estimators.steps import Steps


@torch.no_grad()
def encode(request: ComputeRequest[EncodeParameters]) -> Steps[Answer]:
    """q(z|x) of each image, its KL to the prior, and draws from it if asked for."""
    served, parameters = request.served, request.parameters
    vae, can = served.vae, served.capabilities
    rows: dict[str, list[Tensor]] = {"mean": [], "std": [], "kl_nats": [], "samples": []}
    labels = []
    for part in groups(request, draws_per_item=parameters.num_samples):
        x = request.x(part)
        y = yield from most_probable_labels(request, x)
        labels.append(y)
        q: Any = vae.posterior(x, y)
        rows["mean"].append(q.mean)
        if "posterior" in can:
            rows["std"].append(q.scale)
            prior = vae.prior(y)
            if has_analytic_kl(q, prior):
                rows["kl_nats"].append(kl_divergence(q, prior).double())
        if parameters.num_samples:
            noise = request.noise(part, "posterior")
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
def decode(request: ComputeRequest[DecodeParameters]) -> Steps[Answer]:
    """p(x|z) of each latent: its mean, a sample, or its logits."""
    output = request.parameters.output
    images, labels = [], []
    for part in groups(request):
        z = request.z(part)
        y = given_labels(request, len(z))
        labels.append(y)
        images.append(decode_latents(request, z, y, part))
        yield
    name = "logits" if output == "logits" else "images"
    facts = {"output": output, **label_used(request.served, labels)}
    return Answer({name: np.concatenate(images)}, facts=facts)


@torch.no_grad()
def reconstruct(request: ComputeRequest[ReconstructParameters]) -> Steps[Answer]:
    """p(x|z) at the posterior mean of each image."""
    images, latents, labels = [], [], []
    for part in groups(request):
        x = request.x(part)
        y = yield from most_probable_labels(request, x)
        labels.append(y)
        z = request.served.vae.posterior(x, y).mean
        latents.append(_numpy(z))
        images.append(decode_latents(request, z, y, part))
        yield
    columns = {"images": np.concatenate(images), "latents": np.concatenate(latents)}
    facts = {"output": request.parameters.output, **label_used(request.served, labels)}
    return Answer(columns, facts=facts)


@torch.no_grad()
def sample(request: ComputeRequest[SampleParameters]) -> Steps[Answer]:
    """p(x|z) at latents from the prior, whose normals the temperature scales."""
    served, parameters = request.served, request.parameters
    images, latents, labels = [], [], []
    for part in groups(request, num_items=parameters.n):
        y = drawn_labels(request, part)
        labels.append(y)
        prior = served.vae.prior(y)
        noise = request.noise(part, "prior").draw_for(prior, 1)[0]
        z = prior.from_noise(noise.to(served.device), temperature=parameters.temperature)
        latents.append(_numpy(z))
        images.append(decode_latents(request, z, y, part))
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
def interpolate(request: ComputeRequest[InterpolateParameters]) -> Steps[Answer]:
    """p(x|z)'s mean along a path between two latents, or two images' posterior means."""
    served, parameters, label = request.served, request.parameters, request.label
    if request.inputs.x is not None:
        x = request.x(slice(0, 2))
        y = yield from most_probable_labels(request, x)
        label = _shared_label(served, y)
        ends = _numpy(served.vae.posterior(x, y).mean)
        yield
    else:
        ends = cast(np.ndarray, request.inputs.latents)
    path = PATHS[parameters.path](ends[0].astype(np.float64), ends[1].astype(np.float64))
    weights = np.linspace(0.0, 1.0, parameters.steps)
    latents = np.stack([path(weight) for weight in weights]).astype(np.float32)
    latents[0], latents[-1] = ends[0], ends[1]
    along = replace(request, inputs=Inputs(latents=latents), label=label)
    images, labels = [], []
    for part in groups(along):
        z = along.z(part)
        labels.append(given_labels(along, len(z)))
        images.append(to_pixels(request, served.vae.likelihood(z, labels[-1]).mean, part))
        yield
    columns = {"images": np.concatenate(images), "latents": latents}
    facts = {"path": parameters.path, "steps": parameters.steps, **label_used(served, labels)}
    return Answer(columns, facts=facts)


def _shared_label(served: ServedModel, y: Tensor | None) -> int | None:
    """The label that both ends of a path share."""
    if y is None:
        return None
    first, last = y.tolist()
    if first != last:
        names = served.labels[first], served.labels[last]
        raise InvalidParameter(
            f"label is missing: the most probable labels of the two images are {names[0]} and "
            f"{names[1]}, and a path has one label. Add label={names[0]} or label={names[1]}.",
            parameter="label",
            allowed=names,
            suggestion=names[0],
        )
    return int(first)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
