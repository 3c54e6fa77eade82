"""Scores and classes of images: ELBO, log-likelihood, label probabilities.

Each operation is a generator that yields passes of the networks and returns an `Answer`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from torch import Tensor

from app.compute.cost import annealing_of, chunk_rows, goal_of, groups
from app.compute.labels import given_labels, label_used
from app.compute.percentile import compare
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.parameters import ClassifyParameters, ElboParameters, LogLikelihoodParameters
from app.operations.result import Answer
from models.estimators.annealing import annealed_log_px_steps, as_evidence
from models.estimators.elbo import elbo_steps
from models.estimators.importance import Report, log_px_steps
from models.estimators.labels import classify_steps
from models.estimators.refine import check_refinable, refined_log_px_steps
from models.estimators.refined_posterior import refined_elbo_steps
from models.estimators.steps import Draws, Steps
from models.estimators.tolerance import Goal, tolerant_log_px_steps
from models.scores.columns import join_columns
from models.scores.evidence_score import EvidenceProgress
from models.scores.kinds import EvidenceKind, ScoreKind


def elbo(request: ComputeRequest[ElboParameters]) -> Steps[Answer]:
    """The ELBO of each image, its parts, its error and its percentile."""

    def steps(x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
        refined = request.parameters.inference == "refined"
        estimate = refined_elbo_steps if refined else elbo_steps
        return estimate(request.served.vae, x, y=y, pixels=request.parameters.pixels, **draws)

    return (yield from _score(request, steps, "elbo"))


def log_likelihood(request: ComputeRequest[LogLikelihoodParameters]) -> Steps[Answer]:
    """The estimate of log p(x), or log p(x|y), of each image, its error and its percentile."""
    estimator, vae = request.parameters.estimator, request.served.vae
    goal = goal_of(request)
    if goal is not None:
        _check_iwae(estimator, "tolerance_nats", ["iwae"])
        return (yield from _score(request, partial(_tolerant_steps, request, goal), estimator))
    if estimator == "ais":
        return (yield from _score(request, partial(_annealed_steps, request), estimator))
    if request.parameters.inference == "refined":
        _check_iwae(estimator, "inference='refined'", ["iwae", "ais"])
        return (yield from _score(request, partial(_refined_steps, request), estimator))

    def steps(x: Tensor, y: Tensor | None, draws: Draws) -> Steps[Any]:
        report = _reporter(request, draws, len(x))
        estimates = yield from log_px_steps(
            vae, x, y=y, estimator=estimator, report=report, **draws
        )
        return estimates[-1]

    return (yield from _score(request, steps, estimator))


def _refined_steps(
    request: ComputeRequest[LogLikelihoodParameters], x: Tensor, y: Tensor | None, draws: Draws
) -> Steps[Any]:
    report = _reporter(request, draws, len(x))
    return refined_log_px_steps(request.served.vae, x, y=y, report=report, **draws)


def _tolerant_steps(
    request: ComputeRequest[LogLikelihoodParameters],
    goal: Goal,
    x: Tensor,
    y: Tensor | None,
    draws: Draws,
) -> Steps[Any]:
    seed, first_item, tell = draws["seed"], draws["first_item"], request.report
    first = first_item - request.first_item

    def report(rows: Sequence[int], progress: EvidenceProgress[Tensor]) -> None:
        if tell is not None:
            tell([first + row for row in rows], join_columns([progress]))

    return tolerant_log_px_steps(
        request.served.vae,
        x,
        y=y,
        goal=goal,
        seed=seed,
        first_item=first_item,
        chunk_rows=draws["chunk_rows"],
        report=None if tell is None else report,
    )


def _annealed_steps(
    request: ComputeRequest[LogLikelihoodParameters], x: Tensor, y: Tensor | None, draws: Draws
) -> Steps[Any]:
    vae, settings = request.served.vae, annealing_of(request.parameters)
    if settings.start == "refined":
        check_refinable(vae)
    seed, first_item = draws["seed"], draws["first_item"]
    found = yield from annealed_log_px_steps(
        vae, x, seed=seed, settings=settings, first_item=first_item, y=y
    )
    return as_evidence(found)


def _reporter(
    request: ComputeRequest[LogLikelihoodParameters], draws: Draws, count: int
) -> Report | None:
    """What an estimator tells of the images of some draws, where the answer is streamed."""
    tell = request.report
    if tell is None:
        return None
    first = draws["first_item"] - request.first_item
    return lambda progress: tell(range(first, first + count), join_columns([progress]))


def _check_iwae(estimator: EvidenceKind, asked: str, allowed: Sequence[str]) -> None:
    if estimator not in allowed:
        raise InvalidParameter(
            f"{asked} is for the estimator {' or '.join(allowed)}, not for {estimator}. Leave "
            "estimator out.",
            parameter="estimator",
            received=estimator,
            allowed=allowed,
            suggestion="iwae",
        )


def _score(
    request: ComputeRequest[ElboParameters | LogLikelihoodParameters],
    steps: Callable[[Tensor, Tensor | None, Draws], Steps[Any]],
    kind: ScoreKind | EvidenceKind,
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
