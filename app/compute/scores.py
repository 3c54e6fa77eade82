"""Scores and classes of images: ELBO, log-likelihood, label probabilities.

Each operation is a generator that yields passes of the networks and returns an `Answer`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
from torch import Tensor

from app.compute.cost import chunk_rows, goal_of, groups
from app.compute.labels import given_labels, label_used
from app.compute.percentile import compare
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.parameters import ClassifyParameters, ElboParameters, LogLikelihoodParameters
from app.operations.result import Answer
from models.estimators.elbo import elbo_steps
from models.estimators.importance import log_px_steps
from models.estimators.labels import classify_steps
from models.estimators.refine import refined_log_px_steps
from models.estimators.refined_posterior import refined_elbo_steps
from models.estimators.steps import Draws, Steps
from models.estimators.tolerance import Goal, tolerant_log_px_steps
from models.scores import Estimator, ScoreKind, join_columns
from models.vae.model import VAE


def elbo(request: ComputeRequest[ElboParameters]) -> Steps[Answer]:
    """The ELBO of each image, its parts, its error and its percentile."""

    def steps(x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
        refined = request.parameters.inference == "refined"
        estimate = refined_elbo_steps if refined else elbo_steps
        return estimate(request.served.vae, x, y=y, **draws)

    return (yield from _score(request, steps, "elbo"))


def log_likelihood(request: ComputeRequest[LogLikelihoodParameters]) -> Steps[Answer]:
    """The estimate of log p(x), or log p(x|y), of each image, its error and its percentile."""
    estimator, vae = request.parameters.estimator, request.served.vae
    goal = goal_of(request)
    if goal is not None:
        _check_iwae(estimator, "tolerance_nats")
        return (yield from _score(request, partial(_tolerant_steps, vae, goal), estimator))
    if request.parameters.inference == "refined":
        _check_iwae(estimator, "inference='refined'")
        return (yield from _score(request, partial(_refined_steps, vae), estimator))

    def steps(x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
        estimates = yield from log_px_steps(vae, x, y=y, estimator=estimator, **draws)
        return estimates[-1]

    return (yield from _score(request, steps, estimator))


def _refined_steps(vae: VAE, x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
    return refined_log_px_steps(vae, x, y=y, **draws)


def _tolerant_steps(vae: VAE, goal: Goal, x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
    return tolerant_log_px_steps(
        vae,
        x,
        y=y,
        goal=goal,
        seed=draws["seed"],
        first_item=draws["first_item"],
        chunk_rows=draws["chunk_rows"],
    )


def _check_iwae(estimator: Estimator, asked: str) -> None:
    if estimator != "iwae":
        raise InvalidParameter(
            f"{asked} draws for the estimator iwae, not for {estimator}. Leave estimator out.",
            parameter="estimator",
            received=estimator,
            allowed=["iwae"],
            suggestion="iwae",
        )


def _score(
    request: ComputeRequest[ElboParameters | LogLikelihoodParameters],
    steps: Callable[[Tensor, Tensor | None, Draws], Steps[Any]],
    kind: ScoreKind,
) -> Steps[Answer]:
    """Score the images part by part, and compare the scores with the stored ones."""
    scores, labels = [], []
    for part in groups(request):
        x = request.x(part)
        labels.append(given_labels(request, len(x)))
        scores.append((yield from steps(x, labels[-1], _draws(request, part))))
    columns = join_columns(scores)
    (primary,) = request.operation.primary
    columns |= join_columns([compare(request, kind, columns[primary])])
    return Answer(columns, facts=label_used(request.served, labels))


def classify(request: ComputeRequest[ClassifyParameters]) -> Steps[Answer]:
    """q(y|x) of each image, or p(z|x) over the components of a mixture."""
    served = request.served
    found = []
    for part in groups(request):
        log_q = yield from classify_steps(served.vae, request.x(part), **_draws(request, part))
        found.append(log_q.exp().cpu().numpy())
    probabilities = np.concatenate(found)
    names = served.classes
    facts: dict[str, Any] = {"labels": list(names), "method": "components"}
    if served.labels:
        facts["method"] = "bayes" if "label_posterior" in served.lacks else "classifier"
    if facts["method"] == "bayes":
        facts["num_samples"] = request.parameters.num_samples
    label = [names[index] for index in probabilities.argmax(1).tolist()]
    return Answer({"label": label, "probabilities": probabilities}, facts=facts)


def _draws(
    request: ComputeRequest[ElboParameters | LogLikelihoodParameters | ClassifyParameters],
    part: slice,
) -> Draws:
    """The draws of some of the images."""
    return Draws(
        num_samples=cast(int, request.parameters.num_samples),
        seed=request.seed,
        first_item=request.first_item + part.start,
        chunk_rows=chunk_rows(request.served),
    )
