"""The function that computes each operation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from app.compute.anomaly import anomaly
from app.compute.codec import decode, encode, interpolate, reconstruct, sample
from app.compute.request import ComputeRequest
from app.compute.scores import classify, elbo, log_likelihood
from app.compute.warnings import find_warnings
from app.operations.result import Answer
from models.estimators.steps import Steps

COMPUTE: dict[str, Callable[[ComputeRequest[Any]], Steps[Answer]]] = {
    "encode": encode,
    "decode": decode,
    "reconstruct": reconstruct,
    "sample": sample,
    "interpolate": interpolate,
    "elbo": elbo,
    "log-likelihood": log_likelihood,
    "classify": classify,
    "anomaly": anomaly,
}


def compute(request: ComputeRequest[Any]) -> Steps[Answer]:
    """Compute a request's operation and its warnings, chunk by chunk."""
    answer = yield from COMPUTE[request.operation.name](request)
    warnings = yield from find_warnings(request, answer)
    return replace(answer, warnings=warnings) if warnings else answer
