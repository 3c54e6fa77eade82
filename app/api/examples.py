"""Examples in the OpenAPI document: a body and an answer of each operation, and each problem."""

from typing import Any

from app.operations.answers import Comparison
from app.operations.table import Operation
from models.scores.anomaly_score import AnomalyScore
from models.scores.columns import columns_of
from models.scores.elbo_score import ElboScore
from models.scores.evidence_score import EvidenceScore

PNG_8X8 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAI0lEQVR42mNggAJGBob/EIqB4T8Dw38GBiaYFCaD"
    "BaIICQAArjIECQCbkREAAAAASUVORK5CYII="
)

EXAMPLE_ID = "0d1f3a52c9e84f6f8f6f5d0c8c1e7b11"

_ENVELOPE: dict[str, Any] = {"model": "mnist", "version": 1, "warnings": []}
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
        "squared_error": [0.0127],
        "ssim": [0.9312],
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
    "anomaly": {
        **_ENVELOPE,
        "seed": 1,
        "preprocessing": _PREPROCESSING,
        "preprocessing_steps": _STEPS,
        "alpha": 0.01,
        "reference_n": 1000,
        "smallest_p_value": 0.001,
        "results": [{name: column.example for name, column in columns_of(AnomalyScore).items()}],
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

_BODY_TYPES = [
    *("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff"),
    *("application/json", "multipart/form-data", "application/x-npy", "application/x-npz"),
]
_DAMAGED = (
    "The PNG picture is damaged: its 60 bytes cannot be decoded (OSError: image file is "
    "truncated). Save it again."
)

PROBLEMS: dict[str, dict[str, Any]] = {
    "malformed-request": {
        "detail": "The body is not JSON: unexpected end of data: line 1 column 13 (char 12). Send "
        "JSON in UTF-8, or another Content-Type, such as image/png.",
        "instance": "/v1/encode",
        "parameter": "body",
    },
    "request-timeout": {
        "detail": "The request's head was not whole after 10 s (VAE_CLIENT_TIMEOUT_SECONDS). Send "
        "the request again.",
        "instance": "/v1/encode",
        "limit": 10,
    },
    "target-too-long": {
        "detail": "The request line has more than 8 KiB, the limit. Send the parameters in the "
        "body.",
        "instance": "/v1/sample",
        "parameter": "path",
        "limit": 8192,
    },
    "headers-too-large": {
        "detail": "The request's head has more than 16 KiB, the limit. Send fewer headers and "
        "cookies.",
        "instance": "/v1/encode",
        "limit": 16384,
    },
    "unsupported-version": {
        "detail": "HTTP/2.0 is not spoken here. Send the request as HTTP/1.1: curl --http1.1.",
        "instance": "/v1/encode",
        "received": "HTTP/2.0",
        "allowed": ["HTTP/1.1", "HTTP/1.0"],
        "suggestion": "HTTP/1.1",
    },
    "corrupt-image": {
        "detail": _DAMAGED,
        "instance": "/v1/encode",
        "items": [{"index": 1, "reason": _DAMAGED}],
    },
    "unauthorized": {
        "detail": "The request carries no API key. Send the header Authorization: Bearer KEY, with "
        "a key from the server's operator.",
        "instance": "/v1/encode",
        "parameter": "Authorization",
        "suggestion": "Authorization: Bearer KEY",
    },
    "unknown-model": {
        "detail": "There is no model 'mnits'. Did you mean 'mnist'? Available: bccd, digits, "
        "fashion-mnist, mnist, mnist-labelled.",
        "instance": "/v1/models/mnits/encode",
        "parameter": "model",
        "received": "mnits",
        "allowed": ["bccd", "digits", "fashion-mnist", "mnist", "mnist-labelled"],
        "suggestion": "mnist",
    },
    "model-control-closed": {
        "detail": "This server does not load and unload models by requests "
        "(VAE_MODEL_CONTROL=none). Start it with VAE_MODEL_CONTROL=explicit and "
        "VAE_ADMIN_KEYS_SHA256, which vae hash-key makes.",
        "instance": "/v1/models/mnist/load",
        "parameter": "VAE_MODEL_CONTROL",
        "received": "none",
        "allowed": ["explicit"],
        "suggestion": "VAE_MODEL_CONTROL=explicit",
    },
    "broken-model": {
        "detail": "mnist cannot be loaded: <repository>/mnist/2/model.safetensors has another "
        "sha256 than manifest.json lists. Copy the file again. Version 1 goes on serving.",
        "instance": "/v1/models/mnist/load",
        "parameter": "model",
        "received": "mnist",
    },
    "no-default-model": {
        "detail": "This server has no default model. Name one in the path: /v1/models/bccd/encode. "
        "Available: bccd, digits.",
        "instance": "/v1/encode",
        "parameter": "model",
        "allowed": ["bccd", "digits"],
        "suggestion": "/v1/models/bccd/encode",
    },
    "not-acceptable": {
        "detail": "Accept: image/png matches no form of this answer; it has application/json, "
        "application/x-npy, application/x-npz. Send Accept: application/json, or add format=json "
        "to the query.",
        "instance": "/v1/encode",
        "parameter": "Accept",
        "received": "image/png",
        "allowed": ["application/json", "application/x-npy", "application/x-npz"],
        "suggestion": "application/json",
    },
    "unsupported-operation": {
        "detail": "mnist cannot classify: it was trained without labels. mnist-labelled can: "
        "/v1/models/mnist-labelled/classify.",
        "instance": "/v1/models/mnist/classify",
        "parameter": "model",
        "received": "mnist",
        "allowed": ["mnist-labelled"],
        "suggestion": "mnist-labelled",
    },
    "payload-too-large": {
        "detail": "n=5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Ask for n=1024 with "
        "the same seed and first_item=0, 1024, ...; the result is identical.",
        "instance": "/v1/sample",
        "parameter": "n",
        "received": 5000,
        "limit": 1024,
        "suggestion": 1024,
    },
    "unsupported-media": {
        "detail": "Content-Type 'application/x-www-form-urlencoded', which curl sends by default, "
        "is not read here. Add -H 'Content-Type: image/png', or application/json for JSON.",
        "instance": "/v1/encode",
        "parameter": "Content-Type",
        "received": "application/x-www-form-urlencoded",
        "allowed": _BODY_TYPES,
        "suggestion": "-H 'Content-Type: image/png'",
    },
    "invalid-parameter": {
        "detail": "estimator=iwea is not one of iwae, prior, exact, ais. Did you mean 'iwae'?",
        "instance": "/v1/log-likelihood",
        "parameter": "estimator",
        "received": "iwea",
        "allowed": ["iwae", "prior", "exact", "ais"],
        "suggestion": "iwae",
    },
    "shape-mismatch": {
        "detail": "latents have the shape (2, 16); this model takes (N, 40). Send what encode or "
        "sample gives.",
        "instance": "/v1/decode",
        "parameter": "latents",
        "received": [2, 16],
        "allowed": ["N", 40],
    },
    "out-of-support": {
        "detail": "The picture has pixels outside 0..255. Add pixel_max=1023 if 1023 is white.",
        "instance": "/v1/encode",
        "parameter": "pixel_max",
        "allowed": [0, 255],
        "suggestion": "pixel_max=1023",
        "items": [{"index": 0, "reason": "value 300 is above pixel_max 255"}],
    },
    "invalid-input": {
        "detail": "The largest integer is 1, and integers are read as 0..255: these pictures would "
        "be nearly black. Add pixel_max=1 if 1 is white, or pixel_max=255 if they are that dark.",
        "instance": "/v1/encode",
        "parameter": "pixel_max",
        "allowed": [1, 255, 65535],
        "suggestion": "pixel_max=1",
    },
    "internal-error": {
        "detail": "The server failed; its log has the error under request_id "
        f"{EXAMPLE_ID}. Retry, or send that id to the server's operator.",
        "instance": "/v1/encode",
    },
    "model-not-ready": {
        "detail": "The models are still loading. Retry in a second.",
        "instance": "/v1/encode",
    },
    "queue-full": {
        "detail": "The server is busy: the expected wait is 7.3 s of at most 5 s "
        "(VAE_MAX_WAIT_SECONDS, VAE_MAX_QUEUE_REQUESTS). Retry in 3 s.",
        "instance": "/v1/encode",
        "limit": 5,
    },
    "server-busy": {
        "detail": "The server has 4096 connections, the limit (VAE_MAX_CONNECTIONS). Send the "
        "request again in 2 s.",
        "instance": "",
        "limit": 4096,
    },
    "deadline-exceeded": {
        "detail": "The request took longer than 120 s (X-Request-Timeout-Seconds, or "
        "VAE_REQUEST_TIMEOUT_SECONDS). Send fewer items or samples per request, or retry when the "
        "server is less busy.",
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
