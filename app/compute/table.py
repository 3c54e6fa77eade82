"""Which function computes which operation."""

from collections.abc import Callable
from typing import Any

from app.compute.codec import decode, encode, interpolate, reconstruct, sample
from app.compute.inputs import Inputs
from app.compute.scores import classify, elbo, log_likelihood
from app.operations.result import Answer
from app.serving.served_model import ServedModel
from models.estimators.steps import Steps

Compute = Callable[[ServedModel, Inputs, Any, int], Steps[Answer]]

COMPUTE: dict[str, Compute] = {
    "encode": encode,
    "decode": decode,
    "reconstruct": reconstruct,
    "sample": sample,
    "interpolate": interpolate,
    "elbo": elbo,
    "log-likelihood": log_likelihood,
    "classify": classify,
}
