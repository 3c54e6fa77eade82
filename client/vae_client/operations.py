"""The operations as a client calls them: verbs, paths, and the class of each answer."""

from dataclasses import dataclass
from typing import Generic
from urllib.parse import quote

from vae_client.results import (
    A,
    AnomalyScores,
    Classifications,
    Decodings,
    ElboScores,
    Encodings,
    Interpolation,
    LogLikelihoodScores,
    Reconstructions,
    Samples,
)


@dataclass(frozen=True)
class Operation(Generic[A]):
    """How an operation is called."""

    name: str
    answer: type[A]
    method: str = "POST"
    splits: bool = True
    """Whether its items may be sent in parts, each with its `seed` and `first_item`."""


ENCODE = Operation("encode", Encodings)
DECODE = Operation("decode", Decodings)
RECONSTRUCT = Operation("reconstruct", Reconstructions)
SAMPLE = Operation("sample", Samples, method="GET")
INTERPOLATE = Operation("interpolate", Interpolation, splits=False)
ELBO = Operation("elbo", ElboScores)
LOG_LIKELIHOOD = Operation("log-likelihood", LogLikelihoodScores)
ANOMALY = Operation("anomaly", AnomalyScores)
CLASSIFY = Operation("classify", Classifications)


def model_path(model: str | None, version: int | None) -> str:
    """Path of a model, or of the default one."""
    if model is None:
        return "/v1"
    path = f"/v1/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{version}"
