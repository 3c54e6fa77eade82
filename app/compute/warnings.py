"""Warnings of an answer: pictures and latents that the model does not know.

With `check`, each picture is scored twice by a small ELBO: as it was read, and with black and white
exchanged. The noise has a seed of its own, so the answer's numbers do not change.
"""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from app.compute.cost import CHECK_SAMPLES, chunk_rows, groups, is_checked
from app.compute.labels import given_labels
from app.compute.percentile import find_reference
from app.compute.request import ComputeRequest
from app.operations.result import Answer
from models.estimators.elbo import ElboEstimate, elbo_steps
from models.estimators.labels import knows_labels, log_q_steps
from models.estimators.steps import Steps
from models.warnings import Code, Warned

CODES: tuple[Code, ...] = get_args(Code)
CHECK_SEED = 0
NUM_ERRORS = 3.0
"""Standard errors of the negative's ELBO by which it must gain. That of the picture does not count:
a picture that the model does not know has an error of hundreds of nats."""
MIN_LABEL_ODDS = 1e-4
MAX_EXCESS_NORM = 5.0
"""How far a latent's norm may exceed the root of its dimension, where N(0, 1) varies by 0.7."""


def find_warnings(request: ComputeRequest[Any], answer: Answer) -> Steps[tuple[Warned, ...]]:
    """What is doubtful about a request's items, in their order and in that of the codes."""
    found = [*request.inputs.warnings]
    if request.inputs.latents is not None:
        found += _far_latents(request)
    scores = _own_scores(request, answer)
    if scores is not None:
        found += _below(*scores)
    if is_checked(request):
        found += yield from _check(request, has_score=scores is not None)
    return tuple(sorted(found, key=_place)) if found else ()


def _place(warned: Warned) -> tuple[int, int]:
    return -1 if warned.item is None else warned.item, CODES.index(warned.code)


def _far_latents(request: ComputeRequest[Any]) -> Iterator[Warned]:
    """Latents that a standard normal prior does not draw."""
    latents: Any = request.inputs.latents
    if "standard_normal_prior" not in request.served.capabilities:
        return
    flat = latents.reshape(len(latents), -1).astype(np.float64)
    norms, usual = np.linalg.norm(flat, axis=1), np.sqrt(flat.shape[1])
    for item in np.flatnonzero(norms > usual + MAX_EXCESS_NORM).tolist():
        yield Warned(
            "latents_far",
            f"The latent's norm is {norms[item]:.4g}; the prior's are about {usual:.3g}: the "
            "decoder has not learnt such latents. Send what encode or sample gives.",
            item,
        )


def _own_scores(
    request: ComputeRequest[Any], answer: Answer
) -> tuple[np.ndarray, str, np.ndarray] | None:
    """Stored scores, their name and the answer's, which can be below them; None without any.

    Those of the answer's own estimator and K, or else its ELBO, whose expectation knows no K. A
    label or a threshold raises the score of a picture that the model knows.
    """
    columns = answer.columns
    if "estimate_nats" in columns:
        estimator = request.parameters.estimator
        reference, _ = find_reference(request, estimator)
        if reference is not None:
            return reference, estimator, columns["estimate_nats"]
    elbo = columns.get("elbo_nats")
    if not isinstance(elbo, np.ndarray):  # the estimator prior has no ELBO
        return None
    reference = request.served.stored_elbos
    return None if reference is None else (reference, "ELBO", elbo)


def _below(
    reference: np.ndarray, kind: str, values: np.ndarray, first_item: int = 0
) -> Iterator[Warned]:
    for row in np.flatnonzero(values < reference[0]).tolist():
        yield Warned(
            "below_references",
            f"The score of {values[row]:,.6g} nats ({kind}) is below that of each of "
            f"{len(reference):,} held-out test images, the lowest {reference[0]:,.6g}: the model "
            "does not know such pictures. Choose another model, or send pictures like those of "
            "its training.",
            first_item + row,
        )


def _check(request: ComputeRequest[Any], *, has_score: bool) -> Steps[list[Warned]]:
    """Compare small ELBOs of the pictures with those of their negatives and with stored ones.

    Args:
        request: Its inputs hold the negatives.
        has_score: Whether the answer's own scores are compared already.
    """
    found: list[Warned] = []
    reference = None if has_score else request.served.stored_elbos
    for part in groups(request):
        as_sent = yield from _small_elbo(request, request.inputs.x, part)
        exchanged = yield from _small_elbo(request, request.inputs.exchanged, part)
        found += _inverted(request, as_sent, exchanged, part)
        if reference is not None:
            found += _below(reference, "ELBO", as_sent.elbo_nats.numpy(), part.start)
        found += yield from _unlikely_labels(request, part)
    return found


def _small_elbo(request: ComputeRequest[Any], images: Any, part: slice) -> Steps[ElboEstimate]:
    x = request.on_device(images[part])
    return (
        yield from elbo_steps(
            request.served.vae,
            x,
            y=given_labels(request, len(x)),
            num_samples=CHECK_SAMPLES,
            seed=CHECK_SEED,
            first_item=request.first_item + part.start,
            chunk_rows=chunk_rows(request.served),
        )
    )


def _inverted(
    request: ComputeRequest[Any], as_sent: ElboEstimate, exchanged: ElboEstimate, part: slice
) -> Iterator[Warned]:
    """Pictures whose negative scores higher, and is not merely plain: what is plain scores high."""
    before, after = as_sent.elbo_nats.numpy(), exchanged.elbo_nats.numpy()
    error = np.nan_to_num(exchanged.standard_error_nats.numpy())
    gains = after - before > NUM_ERRORS * error
    fix = "Leave out invert=true" if request.parameters.invert else "Add invert=true"
    plain = {warned.item for warned in request.inputs.warnings if warned.code == "constant"}
    for row in np.flatnonzero(gains & ~_is_plain(request.inputs.exchanged, part)).tolist():
        if part.start + row not in plain:
            yield Warned(
                "looks_inverted",
                f"Exchanging black and white raises the ELBO by {after[row] - before[row]:,.0f} "
                f"nats, from {before[row]:,.0f} to {after[row]:,.0f}: the picture looks inverted. "
                f"{fix}.",
                part.start + row,
            )


def _is_plain(images: Any, part: slice) -> np.ndarray:
    """Whether all pixels of an image have one value."""
    flat = images[part].reshape(part.stop - part.start, -1)
    return np.asarray(flat.min(1) == flat.max(1))


def _unlikely_labels(request: ComputeRequest[Any], part: slice) -> Steps[list[Warned]]:
    """Labels that the model's classifier contradicts."""
    served, label = request.served, request.label
    if label is None or not knows_labels(served.vae):
        return []
    log_q = yield from log_q_steps(served.vae, request.x(part))
    q = log_q.double().cpu().exp().numpy()
    found = []
    for row in np.flatnonzero(q[:, label] < MIN_LABEL_ODDS * q.max(1)).tolist():
        best = int(q[row].argmax())
        found.append(
            Warned(
                "label_unlikely",
                f"label={served.labels[label]} has a probability of {q[row, label]:.1g} for this "
                f"picture, by the model's classifier; {served.labels[best]} has "
                f"{q[row, best]:.3g}. Give label={served.labels[best]}, or leave label out.",
                part.start + row,
            )
        )
    return found
