"""The operations that score or classify images; what they share with the others is in `work.py`.

Each is a generator that yields between chunks of work and returns an `Answer`.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.compute.cost import chunk_rows, groups
from app.compute.inputs import Inputs, x_of
from app.compute.labels import given_labels, label_used
from app.compute.percentile import percentile_fields
from app.operations.parameters import ClassifyParameters, ElboParameters, LogLikelihoodParameters
from app.operations.result import Answer
from app.serving.served_model import ServedModel
from models.estimators.elbo import elbo_steps
from models.estimators.importance import log_px_steps
from models.estimators.labels import classify_steps
from models.estimators.steps import Steps

_ELBO_TENSORS = ("elbo_nats", "expected_log_likelihood_nats", "kl_nats", "standard_error_nats")
_ELBO_PARTS = ("kl_per_dimension_nats", "kl_per_group_nats", "label_kl_nats")
"""None where the model has none of them."""
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


def elbo(
    served: ServedModel, inputs: Inputs, parameters: ElboParameters, seed: int
) -> Steps[Answer]:
    """The ELBO of each image, its parts, its error and its rank."""
    estimates, labels = [], []
    for part in groups(served, inputs, inputs.num_items):
        x = x_of(served, inputs, part)
        labels.append(given_labels(served, inputs, len(x)))
        estimate = yield from elbo_steps(
            served.vae,
            x,
            num_samples=parameters.num_samples,
            seed=seed,
            first_item=parameters.first_item + part.start,
            chunk_rows=chunk_rows(served),
            y=labels[-1],
        )
        estimates.append(estimate)
    columns: dict[str, Any] = {name: _joined(estimates, name) for name in _ELBO_TENSORS}
    bound, error = columns["elbo_nats"], columns["standard_error_nats"]
    count = len(bound)
    for name in _ELBO_PARTS:
        found = _joined(estimates, name)
        columns[name] = [None] * count if found is None else found
    if estimates[0].kl_per_dimension_nats is not None:
        columns["kl_per_dimension_nats"] = columns["kl_per_dimension_nats"].reshape(count, -1)
    columns["kl_method"] = [estimates[0].kl_method] * count
    columns["num_samples"] = [parameters.num_samples] * count
    columns["reason"] = [_why_null(*pair) for pair in zip(bound, error, strict=True)]
    columns |= percentile_fields(served, parameters, "elbo", bound)
    return Answer(columns, facts=label_used(served, labels))


def log_likelihood(
    served: ServedModel, inputs: Inputs, parameters: LogLikelihoodParameters, seed: int
) -> Steps[Answer]:
    """The estimate of log p(x) of each image, or log p(x|y), with its error and its rank."""
    estimates, labels = [], []
    for part in groups(served, inputs, inputs.num_items):
        x = x_of(served, inputs, part)
        labels.append(given_labels(served, inputs, len(x)))
        (estimate,) = yield from log_px_steps(
            served.vae,
            x,
            num_samples=(parameters.num_samples,),
            seed=seed,
            estimator=parameters.estimator,
            first_item=parameters.first_item + part.start,
            chunk_rows=chunk_rows(served),
            y=labels[-1],
        )
        estimates.append(estimate)
    value = _joined(estimates, "estimate_nats")
    columns: dict[str, Any] = {
        "estimator": [parameters.estimator] * len(value),
        "num_samples": [estimates[0].num_samples] * len(value),
    }
    for name in _EVIDENCE_COLUMNS:
        found = _joined(estimates, name)
        columns[name] = [None] * len(value) if found is None else found
    columns |= percentile_fields(served, parameters, parameters.estimator, value)
    return Answer(columns, facts=label_used(served, labels))


@torch.no_grad()
def classify(
    served: ServedModel, inputs: Inputs, parameters: ClassifyParameters, seed: int
) -> Steps[Answer]:
    """q(y|x) of each image, or p(z|x) over the components of a mixture."""
    found = []
    for part in groups(served, inputs, inputs.num_items):
        log_q = yield from classify_steps(
            served.vae,
            x_of(served, inputs, part),
            num_samples=parameters.num_samples,
            seed=seed,
            first_item=parameters.first_item + part.start,
            chunk_rows=chunk_rows(served),
        )
        found.append(log_q.exp().cpu().numpy())
        yield
    probabilities = np.concatenate(found)
    names = served.classes
    facts: dict[str, Any] = {"labels": list(names), "method": "components"}
    if served.labels:
        facts["method"] = "bayes" if "label_posterior" in served.lacks else "classifier"
    if facts["method"] == "bayes":
        facts["num_samples"] = parameters.num_samples
    label = [names[index] for index in probabilities.argmax(1).tolist()]
    return Answer({"label": label, "probabilities": probabilities}, facts=facts)


def _joined(estimates: list[Any], name: str) -> Any:
    """One field of several estimates, item after item; None where the first has none."""
    parts = [getattr(estimate, name) for estimate in estimates]
    if parts[0] is None:
        return None
    if isinstance(parts[0], Tensor):
        return np.concatenate([part.numpy() for part in parts])
    return [entry for part in parts for entry in part]


def _why_null(bound: float, error: float) -> str | None:
    if not math.isfinite(bound):
        return "The estimate is not finite: the image is too improbable for float32."
    if not math.isfinite(error):
        return "A single sample has no standard error: ask for more samples."
    return None
