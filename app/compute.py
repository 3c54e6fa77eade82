"""What each operation does, on arrays; it knows no HTTP and no file.

Each function is a generator that yields between chunks of work and returns an `Answer`, so that a
scheduler may interleave and stop it. Noise comes from the request's seed and an item's index alone.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from app.batching import Steps
from app.media import Answer
from app.operations import (
    DecodeParameters,
    ElboParameters,
    EncodeParameters,
    InterpolateParameters,
    LogLikelihoodParameters,
    Operation,
    ReconstructParameters,
    SampleParameters,
)
from app.registry import ServedModel
from app.standing import standing
from models.bounds import elbo_steps, has_analytic_kl, kl_divergence
from models.categorical import OneHot
from models.errors import OutOfSupport, ShapeMismatch
from models.evidence import log_px_steps
from models.images import to_unit
from models.noise import BatchNoise
from models.point import Point

GROUP_ITEMS = 64
"""Items that go through a network at once: the most that a chunk of a cheap operation holds."""
GROUP_DRAWS = 16384
"""Draws of latents at once, where they are the answer."""
CHUNK_COST = 4096.0
"""Cost units of one chunk, some tens of milliseconds."""


@dataclass(frozen=True)
class Inputs:
    """A request's items, read and checked."""

    x: np.ndarray | None = None
    """(N, C, H, W), float32, observations."""
    latents: np.ndarray | None = None
    """(N, *latent_shape), float32."""
    preprocessing: tuple[tuple[str, ...], ...] | None = None

    @property
    def num_items(self) -> int:
        """Images and latents together."""
        return sum(len(part) for part in (self.x, self.latents) if part is not None)


@dataclass(frozen=True)
class Work:
    """How large a request is."""

    items: int
    samples: int
    """For each item."""
    cost: float
    numbers: int
    """In the answer, at most."""


def measure(operation: Operation, served: ServedModel, inputs: Inputs, parameters: Any) -> Work:
    """The size of a request, before anything of it is computed."""
    latents, pixels = served.vae.num_latents, served.vae.config.num_dimensions
    items = getattr(parameters, "n", None) or getattr(parameters, "steps", None)
    items = items or inputs.num_items
    samples = getattr(parameters, "num_samples", 1)
    passes = samples if operation.per_item else 1
    numbers = latents * (2 + samples) if operation.name == "encode" else latents + pixels
    return Work(items, samples, cost=items * passes * served.cost, numbers=items * numbers)


# Operations ------------------------------------------------------------------------------------


@torch.no_grad()
def encode(
    served: ServedModel, inputs: Inputs, parameters: EncodeParameters, seed: int
) -> Steps[Answer]:
    """q(z|x) of each image, its KL to the prior, and draws from it if asked for."""
    vae = served.vae
    prior = vae.prior() if vae.has_density else None
    rows: dict[str, list[Tensor]] = {"mean": [], "std": [], "kl_nats": [], "samples": []}
    for part in _groups(inputs.num_items, draws_per_item=parameters.num_samples):
        q = vae.posterior(_x(served, inputs, part))
        rows["mean"].append(q.mean)
        if not isinstance(q, OneHot | Point):
            rows["std"].append(q.scale)
        if prior is not None and has_analytic_kl(q, prior):
            rows["kl_nats"].append(kl_divergence(q, prior).double())
        if parameters.num_samples:
            noise = _noise(seed, part, "posterior", parameters.first_item)
            draws = noise.draw_for(q, parameters.num_samples, dtype=q.mean.dtype)
            rows["samples"].append(q.from_noise(draws.to(served.device)).transpose(0, 1))
        yield
    columns = {name: _numpy(torch.cat(tensors)) for name, tensors in rows.items() if tensors}
    for name in ("std", "kl_nats"):
        columns.setdefault(name, cast(Any, None))
    return Answer(columns)


@torch.no_grad()
def decode(
    served: ServedModel, inputs: Inputs, parameters: DecodeParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) of each latent: its mean, a draw, or its logits."""
    images = []
    for part in _groups(inputs.num_items):
        z = _z(served, inputs, part)
        images.append(_decode(served, z, part, parameters.output, seed, parameters.first_item))
        yield
    name = "logits" if parameters.output == "logits" else "images"
    columns = {name: np.concatenate(images)}
    return Answer(columns, facts={"output": parameters.output})


@torch.no_grad()
def reconstruct(
    served: ServedModel, inputs: Inputs, parameters: ReconstructParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) at the posterior mean of each image."""
    images, latents = [], []
    for part in _groups(inputs.num_items):
        z = served.vae.posterior(_x(served, inputs, part)).mean
        latents.append(_numpy(z))
        images.append(_decode(served, z, part, parameters.output, seed, parameters.first_item))
        yield
    columns = {"images": np.concatenate(images), "latents": np.concatenate(latents)}
    return Answer(columns, facts={"output": parameters.output})


@torch.no_grad()
def sample(
    served: ServedModel, inputs: Inputs, parameters: SampleParameters, seed: int
) -> Steps[Answer]:
    """p(x|z) at latents from the prior, whose normals the temperature scales."""
    prior = served.vae.prior()
    images, latents = [], []
    for part in _groups(parameters.n):
        noise = _noise(seed, part, "prior", parameters.first_item)
        normals = noise.draw(1, served.vae.latent_shape, dtype=prior.mean.dtype)[0]
        z = prior.from_noise(normals.to(served.device) * parameters.temperature)
        latents.append(_numpy(z))
        images.append(_decode(served, z, part, parameters.output, seed, parameters.first_item))
        yield
    facts = {
        "output": parameters.output,
        "temperature": parameters.temperature,
        "is_model_sample": parameters.temperature == 1.0,
    }
    columns = {"images": np.concatenate(images), "latents": np.concatenate(latents)}
    return Answer(columns, facts=facts)


@torch.no_grad()
def interpolate(
    served: ServedModel, inputs: Inputs, parameters: InterpolateParameters, seed: int
) -> Steps[Answer]:
    """p(x|z)'s mean along a path between two latents, or two images' posterior means."""
    if inputs.x is not None:
        ends = _numpy(served.vae.posterior(_x(served, inputs, slice(0, 2))).mean)
        yield
    else:
        ends = cast(np.ndarray, inputs.latents)
    path = PATHS[parameters.path](ends[0].astype(np.float64), ends[1].astype(np.float64))
    weights = np.linspace(0.0, 1.0, parameters.steps)
    latents = np.stack([path(weight) for weight in weights]).astype(np.float32)
    latents[0], latents[-1] = ends[0], ends[1]
    images = []
    for part in _groups(parameters.steps):
        z = torch.from_numpy(latents[part]).to(served.device)
        images.append(_decode(served, z, part, "mean", seed, 0))
        yield
    columns = {"images": np.concatenate(images), "latents": latents}
    facts = {"path": parameters.path, "steps": parameters.steps}
    return Answer(columns, facts=facts)


def elbo(
    served: ServedModel, inputs: Inputs, parameters: ElboParameters, seed: int
) -> Steps[Answer]:
    """The ELBO of each image, its parts, its error and its rank."""
    estimates = []
    for part in _groups(inputs.num_items):
        estimate = yield from elbo_steps(
            served.vae,
            _x(served, inputs, part),
            num_samples=parameters.num_samples,
            seed=seed,
            first_item=parameters.first_item + part.start,
            chunk_rows=_chunk_rows(served),
        )
        estimates.append(estimate)
    bound = np.concatenate([e.elbo_nats.numpy() for e in estimates])
    error = np.concatenate([e.standard_error_nats.numpy() for e in estimates])
    per_dimension = [e.kl_per_dimension_nats for e in estimates]
    columns: dict[str, Any] = {
        "elbo_nats": bound,
        "expected_log_likelihood_nats": np.concatenate(
            [e.expected_log_likelihood_nats.numpy() for e in estimates]
        ),
        "kl_nats": np.concatenate([e.kl_nats.numpy() for e in estimates]),
        "kl_per_dimension_nats": np.concatenate(
            [cast(Tensor, terms).flatten(1).numpy() for terms in per_dimension]
        )
        if per_dimension[0] is not None
        else [None] * len(bound),
        "kl_method": [estimates[0].kl_method] * len(bound),
        "standard_error_nats": error,
        "num_samples": [parameters.num_samples] * len(bound),
        "reason": [_why_null(*pair) for pair in zip(bound, error, strict=True)],
    }
    columns |= standing(served, parameters, "elbo", bound)
    return Answer(columns)


def log_likelihood(
    served: ServedModel, inputs: Inputs, parameters: LogLikelihoodParameters, seed: int
) -> Steps[Answer]:
    """The importance-sampled estimate of log p(x) of each image, its error and its rank."""
    estimates = []
    for part in _groups(inputs.num_items):
        (estimate,) = yield from log_px_steps(
            served.vae,
            _x(served, inputs, part),
            num_samples=(parameters.num_samples,),
            seed=seed,
            estimator=parameters.estimator,
            first_item=parameters.first_item + part.start,
            chunk_rows=_chunk_rows(served),
        )
        estimates.append(estimate)

    def joined(name: str) -> Any:
        parts = [getattr(estimate, name) for estimate in estimates]
        if parts[0] is None:
            return [None] * inputs.num_items
        if isinstance(parts[0], Tensor):
            return np.concatenate([part.numpy() for part in parts])
        return [entry for part in parts for entry in part]

    value = joined("estimate_nats")
    columns: dict[str, Any] = {
        "estimator": [parameters.estimator] * len(value),
        "num_samples": [parameters.num_samples] * len(value),
    }
    columns |= {name: joined(name) for name in _EVIDENCE_COLUMNS}
    columns |= standing(served, parameters, parameters.estimator, value)
    return Answer(columns)


_EVIDENCE_COLUMNS = (
    "estimate_nats",
    "standard_error_nats",
    "confidence_interval_nats",
    "interval_covers",
    "effective_sample_size",
    "pareto_k",
    "elbo_nats",
    "gap_lower_bound_nats",
    "reliable",
    "reason",
)

Compute = Callable[[ServedModel, Inputs, Any, int], Steps[Answer]]

COMPUTE: dict[str, Compute] = {
    "encode": encode,
    "decode": decode,
    "reconstruct": reconstruct,
    "sample": sample,
    "interpolate": interpolate,
    "elbo": elbo,
    "log-likelihood": log_likelihood,
}


# Paths between latents -------------------------------------------------------------------------

Path = Callable[[float], np.ndarray]


def linear_path(start: np.ndarray, end: np.ndarray) -> Path:
    """The straight line."""
    return lambda weight: (1 - weight) * start + weight * end


def spherical_path(start: np.ndarray, end: np.ndarray) -> Path:
    """Direction along the great arc, norm linear.

    Straight where there is no one arc: an end at the origin, or both on one line through it.

    Source: Shoemake 1985, Animating rotation with quaternion curves; White 2016, arXiv:1609.04468.
    """
    norms = np.linalg.norm(start), np.linalg.norm(end)
    if min(norms) == 0:
        return linear_path(start, end)
    first, last = start / norms[0], end / norms[1]
    angle = math.acos(float(np.clip(np.sum(first * last), -1, 1)))
    if math.sin(angle) < 1e-6:
        return linear_path(start, end)

    def path(weight: float) -> np.ndarray:
        direction = math.sin((1 - weight) * angle) * first + math.sin(weight * angle) * last
        norm = (1 - weight) * norms[0] + weight * norms[1]
        return cast(np.ndarray, norm * direction / math.sin(angle))

    return path


PATHS: dict[str, Callable[[np.ndarray, np.ndarray], Path]] = {
    "linear": linear_path,
    "spherical": spherical_path,
}


def _why_null(bound: float, error: float) -> str | None:
    if not math.isfinite(bound):
        return "The estimate is not finite: the image is too improbable for float32."
    if not math.isfinite(error):
        return "A single sample has no standard error: ask for more samples."
    return None


# Arrays ----------------------------------------------------------------------------------------


def _groups(num_items: int, *, draws_per_item: int = 0) -> Iterator[slice]:
    size = max(1, min(GROUP_ITEMS, GROUP_DRAWS // (draws_per_item or 1)))
    for start in range(0, num_items, size):
        yield slice(start, min(start + size, num_items))


def _chunk_rows(served: ServedModel) -> int:
    return max(16, min(512, int(CHUNK_COST / served.cost)))


def _noise(seed: int, part: slice, purpose: Any, first_item: int) -> BatchNoise:
    first = first_item + part.start
    return BatchNoise(seed, part.stop - part.start, purpose, first_item=first)


def _x(served: ServedModel, inputs: Inputs, part: slice) -> Tensor:
    return torch.from_numpy(cast(np.ndarray, inputs.x)[part]).to(served.device)


def _z(served: ServedModel, inputs: Inputs, part: slice) -> Tensor:
    return torch.from_numpy(cast(np.ndarray, inputs.latents)[part]).to(served.device)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _decode(
    served: ServedModel, z: Tensor, part: slice, output: str, seed: int, first_item: int
) -> np.ndarray:
    """Images in 0..1 (or logits) of some latents, float32 (N, C, H, W)."""
    likelihood: Any = served.vae.likelihood(z)
    if output == "logits":
        values = likelihood.logits
    elif output == "mean":
        values = likelihood.mean
    else:
        event_shape = likelihood.noise_shape()[1:]
        noise = _noise(seed, part, "likelihood", first_item)
        draws = noise.draw(1, event_shape, kind=likelihood.noise_kind, dtype=z.dtype)[0]
        values = likelihood.from_noise(draws.to(z.device))
    _refuse_non_finite(values, part.start)
    if output == "logits":
        return _numpy(values)
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


def check_latents(latents: np.ndarray, latent_shape: tuple[int, ...]) -> np.ndarray:
    """Latents as float32, after their shape and values were checked.

    Raises:
        ShapeMismatch: Not (N, *latent_shape).
        OutOfSupport: Not finite as float32.
    """
    if latents.ndim != 1 + len(latent_shape) or latents.shape[1:] != latent_shape:
        wanted = ", ".join(map(str, latent_shape))
        raise ShapeMismatch(
            f"Latents have the shape (N, {wanted}); received {latents.shape}. Send what `encode` "
            "gives."
        )
    with np.errstate(over="ignore"):
        numbers = latents.astype(np.float32)
    finite = np.isfinite(numbers.reshape(len(numbers), -1)).all(axis=1)
    if not finite.all():
        items = tuple((int(i), "not finite as float32") for i in np.flatnonzero(~finite))
        raise OutOfSupport(
            f"A latent holds finite numbers; {len(items)} do not (first: item {items[0][0]}). "
            "Correct them.",
            items=items,
        )
    return numbers
