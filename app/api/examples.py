"""Examples in the OpenAPI document: a body and an answer of each operation, and each problem."""

from typing import Any

from app.operations.answers import Comparison
from app.operations.table import Operation
from models.scores import ElboScore, EvidenceScore, columns_of

PNG_8X8 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAI0lEQVR42mNggAJGBob/EIqB4T8Dw38GBiaYFCaD"
    "BaIICQAArjIECQCbkREAAAAASUVORK5CYII="
)

_ENVELOPE: dict[str, Any] = {"model": "mnist", "version": 1}
_PREPROCESSING = [["binarize stochastic"]]
_STEPS = [[{"op": "binarize", "from": "256", "to": "2", "how": "stochastic"}]]


def example_score(score: type) -> dict[str, Any]:
    """A result of a score, from the examples of its columns."""
    columns = {**columns_of(score), **columns_of(Comparison)}
    return {name: column.example for name, column in columns.items()}


ANSWERS: dict[str, dict[str, Any]] = {
    "encode": {
        **_ENVELOPE,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "mean": [[0.31, -1.2]],
        "mean_kind": "posterior",
        "std": [[0.11, 0.2]],
        "kl_nats": [4.71],
    },
    "decode": {**_ENVELOPE, "output": "mean", "images": [PNG_8X8]},
    "reconstruct": {
        **_ENVELOPE,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "output": "mean",
        "images": [PNG_8X8],
        "latents": [[0.31, -1.2]],
    },
    "sample": {
        **_ENVELOPE,
        "seed": 1,
        "output": "mean",
        "temperature": 1.0,
        "is_model_sample": True,
        "images": [PNG_8X8],
        "latents": [[0.52, 0.07]],
    },
    "interpolate": {
        **_ENVELOPE,
        "preprocessing": _PREPROCESSING * 2,
        "preprocessing_steps": _STEPS * 2,
        "path": "linear",
        "steps": 2,
        "images": [PNG_8X8, PNG_8X8],
        "latents": [[0.31, -1.2], [0.1, 0.4]],
    },
    "elbo": {
        **_ENVELOPE,
        "seed": 1,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "results": [example_score(ElboScore)],
    },
    "log-likelihood": {
        **_ENVELOPE,
        "seed": 1,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "results": [example_score(EvidenceScore) | {"bits_per_dim": 0.1562}],
    },
    "classify": {
        **_ENVELOPE,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "labels": ["cat", "dog"],
        "method": "classifier",
        "results": [{"label": "dog", "probabilities": [0.2, 0.8]}],
    },
}

PROBLEMS: dict[str, dict[str, Any]] = {
    "malformed-request": {
        "detail": "The body is not JSON: unexpected end of data at character 12. "
        'Send {"images": [...]}.',
        "instance": "/v1/encode",
    },
    "corrupt-image": {
        "detail": "images[1] cannot be read: the PNG file is truncated. Send the whole file.",
        "instance": "/v1/encode",
        "items": [{"index": 1, "reason": "the PNG file is truncated"}],
    },
    "unauthorized": {
        "detail": "The request has no API key. Send the header Authorization: Bearer KEY.",
        "instance": "/v1/encode",
        "parameter": "Authorization",
    },
    "unknown-model": {
        "detail": "There is no model 'mnits'. Did you mean 'mnist'? Available: digits, mnist.",
        "instance": "/v1/models/mnits/encode",
        "parameter": "model",
        "received": "mnits",
        "allowed": ["digits", "mnist"],
        "suggestion": "mnist",
    },
    "not-acceptable": {
        "detail": "encode has no answer of the type image/png. It has json, npy, npz: "
        "/v1/encode?format=json.",
        "instance": "/v1/encode",
        "parameter": "format",
        "received": "image/png",
        "allowed": ["json", "npy", "npz"],
    },
    "unsupported-operation": {
        "detail": "mnist cannot classify: it was trained without labels. mnist-labelled can.",
        "instance": "/v1/models/mnist/classify",
        "parameter": "model",
        "received": "mnist",
        "suggestion": "mnist-labelled",
    },
    "payload-too-large": {
        "detail": "n=5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Ask for n=1024 with "
        "first_item=0, 1024, ...; the result is identical.",
        "instance": "/v1/sample",
        "parameter": "n",
        "received": 5000,
        "limit": 1024,
        "suggestion": 1024,
    },
    "unsupported-media": {
        "detail": "Content-Type application/pdf cannot be read. Send image/png or "
        "application/json.",
        "instance": "/v1/encode",
        "parameter": "Content-Type",
        "received": "application/pdf",
        "allowed": ["image/png", "application/json"],
    },
    "invalid-parameter": {
        "detail": "estimator='iwea' is unknown. Did you mean 'iwae'? Allowed: iwae, prior, exact.",
        "instance": "/v1/log-likelihood",
        "parameter": "estimator",
        "received": "iwea",
        "allowed": ["iwae", "prior", "exact"],
        "suggestion": "iwae",
    },
    "shape-mismatch": {
        "detail": "latents have the shape (2, 16); mnist takes (N, 32).",
        "instance": "/v1/decode",
        "parameter": "latents",
        "received": [2, 16],
    },
    "out-of-support": {
        "detail": "images[0] holds NaN. Pixels are finite numbers from 0 to 1.",
        "instance": "/v1/encode",
        "parameter": "images",
        "items": [{"index": 0, "reason": "holds NaN"}],
    },
    "invalid-input": {
        "detail": "images are integers from 0 to 1, which may mean 0..1 or 0..255. "
        "Add pixel_max=1 or pixel_max=255.",
        "instance": "/v1/encode",
        "parameter": "pixel_max",
        "allowed": [1, 255],
    },
    "internal-error": {
        "detail": "The server failed. Its log has the error under the request_id.",
        "instance": "/v1/encode",
    },
    "model-not-ready": {
        "detail": "The models are still loading. Retry in a second.",
        "instance": "/v1/encode",
    },
    "queue-full": {
        "detail": "The queue is full: 512 requests wait (VAE_MAX_QUEUE_REQUESTS). "
        "Retry in a second.",
        "instance": "/v1/encode",
        "limit": 512,
    },
    "deadline-exceeded": {
        "detail": "The answer was not ready within 120 s (VAE_REQUEST_TIMEOUT_SECONDS). "
        "Ask for fewer items or samples.",
        "instance": "/v1/log-likelihood",
        "limit": 120,
    },
}
"""What is particular to a problem of each type."""


def example_body(operation: Operation, latents_body: dict[str, Any] | None) -> dict[str, Any]:
    """A JSON body that an operation takes.

    Args:
        operation: Takes images or latents.
        latents_body: The body to show where only latents are taken.
    """
    if operation.takes == ("latents",):
        return latents_body or {"latents": [[0.5, -1.0], [0.0, 0.25]]}
    return {"images": [PNG_8X8] * (operation.exact_items or 1)}


def curl_options(operation: Operation, kind: str | None = None) -> str:
    """Options of curl that send the operation's items, such as `-F images=@image.png`.

    Args:
        operation: Takes images or latents.
        kind: Which of them to send; by default the first.
    """
    kind = kind or operation.takes[0]
    if kind == "latents":
        return "--data-binary @latents.npy -H 'Content-Type: application/x-npy'"
    if operation.exact_items == 2:
        return "-F images=@first.png -F images=@second.png"
    return "--data-binary @image.png -H 'Content-Type: image/png'"
