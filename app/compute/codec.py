"""Operations between images and latents: encode, decode, reconstruct, sample, interpolate.

Each function is a generator that yields passes of the networks and returns an `Answer`, so that a
scheduler may interleave, batch and stop it. Noise comes from the request's seed and an item's
index alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from app.compute.cost import groups
from app.compute.inputs import Inputs
from app.compute.labels import drawn_labels, given_labels, label_used, most_probable_labels
from app.compute.latents import latent_groups
from app.compute.passes import decode_rows, encode_rows, reconstruct_rows, sample_rows
from app.compute.paths import PATHS
from app.compute.pixels import pixel_noise, pixels, to_pixels
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
from models.estimators.refined_posterior import refined_posterior_steps
from models.estimators.steps import Pass, Steps


def encode(request: ComputeRequest[EncodeParameters]) -> Steps[Answer]:
    """q(z|x) of each image, its KL to the prior, and draws from it if asked for."""
    if request.parameters.inference == "refined":
        return (yield from _encode_refined(request))
    served, num_samples = request.served, request.parameters.num_samples
    vae = served.vae
    given = vae, "posterior" in served.capabilities
    found, labels = [], []
    for part in groups(request, draws_per_item=num_samples):
        y = noise = None
        if served.labels:
            y = yield from most_probable_labels(request, part)
            labels.append(y)
        if num_samples:
            noise = request.draw(part, "posterior", num_samples).transpose(0, 1)
        found.append((yield Pass(encode_rows, given, (request.images(part), y, noise))))
    rows = found[0] if len(found) == 1 else map(join, zip(*found, strict=True))
    mean, std, kl_nats, samples = rows
    columns = {"mean": mean, "std": std, "kl_nats": kl_nats}
    if num_samples:
        columns["samples"] = samples
    facts: dict[str, Any] = {"mean_kind": "posterior"}
    if vae.config.latent_groups:
        facts = {"mean_kind": "ancestral", "groups": latent_groups(vae)}
    if served.labels:
        facts |= label_used(served, labels)
    return Answer(columns, facts)


def _encode_refined(request: ComputeRequest[EncodeParameters]) -> Steps[Answer]:
    """The refined q(z) of each image in the place of the encoder's q(z|x)."""
    served, num_samples = request.served, request.parameters.num_samples
    shape = served.vae.latent_shape
    found, labels = [], []
    for part in groups(request, draws_per_item=num_samples):
        labels.append((yield from most_probable_labels(request, part)))
        posterior = yield from refined_posterior_steps(
            served.vae,
            request.x(part),
            y=labels[-1],
            num_samples=num_samples,
            seed=request.seed,
            first_item=request.first_item + part.start,
        )
        found.append(posterior)
    kl = [of.kl_nats for of in found if of.kl_nats is not None]
    columns: dict[str, Any] = {
        "mean": _latents([of.mean for of in found], shape),
        "std": _latents([of.scale for of in found], shape),
        "kl_nats": torch.cat(kl).numpy() if kl else None,
        "num_modes": [count for of in found for count in of.num_modes],
    }
    if num_samples:
        columns["samples"] = _latents([of.samples for of in found], shape)
    facts: dict[str, Any] = {"mean_kind": "posterior", **label_used(served, labels)}
    if served.vae.config.latent_groups:
        facts["groups"] = latent_groups(served.vae)
    return Answer(columns, facts)


def _latents(parts: Sequence[Tensor], shape: Sequence[int]) -> np.ndarray:
    """Flat latents of consecutive parts, (..., latent), as float32 of the latent shape."""
    rows: np.ndarray = torch.cat(list(parts)).float().unflatten(-1, tuple(shape)).numpy()
    return rows


def decode(request: ComputeRequest[DecodeParameters]) -> Steps[Answer]:
    """p(x|z) of each latent: its mean, a sample, or its logits."""
    output = request.parameters.output
    images, labels = [], []
    for part in groups(request):
        z = request.latents(part)
        y = given_labels(request, len(z))
        labels.append(y)
        rows = (z, y, pixel_noise(request, part))
        (values,) = yield Pass(decode_rows, (request.served.vae, output), rows)
        images.append(pixels(request, values, part))
    name = "logits" if output == "logits" else "images"
    facts = {"output": output, **label_used(request.served, labels)}
    return Answer({name: join(images)}, facts=facts)


def reconstruct(request: ComputeRequest[ReconstructParameters]) -> Steps[Answer]:
    """p(x|z) at the posterior mean of each image."""
    output, with_error = request.parameters.output, request.parameters.with_error
    given = (request.served.vae, output, with_error)
    images, latents, errors, labels = [], [], [], []
    for part in groups(request):
        y = yield from most_probable_labels(request, part)
        labels.append(y)
        rows = (request.images(part), y, pixel_noise(request, part))
        z, values, *of_part = yield Pass(reconstruct_rows, given, rows)
        latents.append(z)
        images.append(pixels(request, values, part))
        errors.append(of_part)
    columns = {"images": join(images), "latents": join(latents)}
    if with_error:
        squared_error, ssim = map(join, zip(*errors, strict=True))
        columns |= {"squared_error": squared_error, "ssim": ssim}
    facts = {"output": output, **label_used(request.served, labels)}
    return Answer(columns, facts=facts)


def sample(request: ComputeRequest[SampleParameters]) -> Steps[Answer]:
    """p(x|z) at latents from the prior, whose normals the temperature scales."""
    served, parameters = request.served, request.parameters
    given = (served.vae, parameters.output, parameters.temperature)
    images, latents, labels = [], [], []
    for part in groups(request, num_items=parameters.n):
        y = drawn_labels(request, part)
        labels.append(y)
        rows = (request.draw(part, "prior", 1)[0], y, pixel_noise(request, part))
        z, values = yield Pass(sample_rows, given, rows)
        latents.append(z)
        images.append(pixels(request, values, part))
    facts = {
        "output": parameters.output,
        "temperature": parameters.temperature,
        "is_model_sample": parameters.temperature == 1.0,
        **label_used(served, labels),
    }
    return Answer({"images": join(images), "latents": join(latents)}, facts=facts)


def interpolate(request: ComputeRequest[InterpolateParameters]) -> Steps[Answer]:
    """p(x|z)'s mean along a path between two latents, or two images' posterior means."""
    served, parameters, label = request.served, request.parameters, request.label
    if request.inputs.x is not None:
        both = slice(0, 2)
        y = yield from most_probable_labels(request, both)
        label = _shared_label(served, y)
        rows = (request.images(both), y, None)
        ends, *_ = yield Pass(encode_rows, (served.vae, False), rows)
    else:
        ends = cast(np.ndarray, request.inputs.latents)
    path = PATHS[parameters.path](ends[0].astype(np.float64), ends[1].astype(np.float64))
    weights = np.linspace(0.0, 1.0, parameters.steps)
    latents = np.stack([path(weight) for weight in weights]).astype(np.float32)
    latents[0], latents[-1] = ends[0], ends[1]
    along = replace(request, inputs=Inputs(latents=latents), label=label)
    images, labels = [], []
    for part in groups(along):
        z = along.latents(part)
        labels.append(given_labels(along, len(z)))
        rows = (z, labels[-1], None)
        (values,) = yield Pass(decode_rows, (served.vae, "mean"), rows)
        images.append(to_pixels(request, values, part))
    columns = {"images": join(images), "latents": latents}
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


def join(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of consecutive parts as one array; None where they are None."""
    return parts[0] if len(parts) == 1 else Pass.join_rows(parts)
