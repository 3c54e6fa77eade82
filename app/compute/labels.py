"""Labels of a request: the index that a name means, and the label used where none was given."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.compute.cost import chunk_rows
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.serving.served_model import ServedModel
from models.errors import closest
from models.estimators.labels import guess_steps
from models.estimators.steps import Steps

MAX_LABELS_NAMED = 20
MAX_SHOWN = 80


def find_label(served: ServedModel, text: str | None) -> int | None:
    """Index of the label that a name or an index means; a name wins.

    Raises:
        InvalidParameter: There is none; says which there are.
    """
    if text is None:
        return None
    if text in served.labels:
        return served.labels.index(text)
    if text.isascii() and text.isdecimal() and int(text) < len(served.labels):
        return int(text)
    raise unknown_label(served, text)


def unknown_label(served: ServedModel, received: Any) -> InvalidParameter:
    """The refusal of a label that a model with labels does not have.

    A number gets no near miss: 10 is not a misspelt 1.
    """
    is_name = isinstance(received, str) and not received.isdecimal()
    meant = closest(received, served.labels) if is_name else None
    did_you_mean = f"Did you mean {meant!r}? " if meant else ""
    shown = repr(received) if isinstance(received, str) else json.dumps(received, default=str)
    return InvalidParameter(
        f"{served.name} has no label {shown[:MAX_SHOWN]}. {did_you_mean}It has {_listed(served)}.",
        parameter="label",
        received=received,
        allowed=served.labels,
        suggestion=meant,
    )


def check_label(request: ComputeRequest[Any]) -> None:
    """Refuse latents without the label that decoding them needs.

    Raises:
        InvalidParameter: Says which labels there are.
    """
    served = request.served
    if served.labels and request.inputs.latents is not None and request.label is None:
        raise InvalidParameter(
            f"label is missing: {served.name} decodes latents under a label. Add "
            f"label={served.labels[0]}; it has {_listed(served)}.",
            parameter="label",
            allowed=served.labels,
            suggestion=served.labels[0],
        )


def _listed(served: ServedModel) -> str:
    names = ", ".join(served.labels[:MAX_LABELS_NAMED])
    rest = len(served.labels) - MAX_LABELS_NAMED
    return names if rest <= 0 else f"{names} and {rest} more (GET /v1/models/{served.name})"


def given_labels(request: ComputeRequest[Any], count: int) -> Tensor | None:
    """The label that the caller gave, once for each item; None where there is none."""
    if request.label is None:
        return None
    return torch.full((count,), request.label, device=request.served.device)


def most_probable_labels(request: ComputeRequest[Any], part: slice) -> Steps[Tensor | None]:
    """A label for each image: the caller's, or else the most probable; None without labels."""
    if not request.served.labels:
        return None
    given = given_labels(request, part.stop - part.start)
    if given is not None:
        return given
    rows = chunk_rows(request.served)
    log_q = yield from guess_steps(request.served.vae, request.x(part), chunk_rows=rows)
    return log_q.argmax(-1)


def drawn_labels(request: ComputeRequest[Any], part: slice) -> Tensor | None:
    """A label for each item: the caller's, or else a draw from p(y); None without labels."""
    served = request.served
    given = given_labels(request, part.stop - part.start)
    if given is not None or not served.labels:
        return given
    noise = request.noise(part, "label")
    uniforms = noise.draw(1, (1,), kind="uniform", dtype=torch.float64)[0]
    edges = served.vae.log_label_prior.double().cpu().exp().cumsum(0)[:-1]
    return (uniforms >= edges).sum(-1).to(served.device)


def label_used(served: ServedModel, labels: Sequence[Tensor | None]) -> dict[str, Any]:
    """The fact `label_used`: a name for each item, or null where no single label was used."""
    if not served.labels:
        return {}
    indices = [index for part in labels if part is not None for index in part.tolist()]
    return {"label_used": [served.labels[index] for index in indices] or None}
