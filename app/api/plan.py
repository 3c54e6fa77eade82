"""What a request asks for, apart from its items: parameters, label, seed and form of the answer.

Requests repeat their query and their Accept header, so that the plans of those are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from app.api.read_parameters import parse_parameters
from app.compute.cost import Work
from app.compute.labels import find_label
from app.operations.parameters import Parameters, Rendering
from app.operations.table import Operation
from app.serving.registry import Registry
from app.serving.served_model import ServedModel
from app.wire.negotiation import negotiate

MAX_PLANS = 256
"""Plans that are kept for each operation of a model, by its path."""
MAX_KEY_BYTES = 512
"""Longest query and Accept header whose plan is kept."""


_PLAINLY = Rendering()


class FixedLines(NamedTuple):
    """Header lines that are the same in every answer of a plan."""

    etag: str | None
    caching: bytes
    """Those of a 304."""
    all: bytes


@dataclass(frozen=True)
class Plan:
    """What a request asks for, checked, apart from its items; and what follows from that alone."""

    parameters: Parameters
    label: int | None
    """Index of the label that the caller gave."""
    seed: int | None
    """The seed that the caller gave."""
    form: str
    """Format of the answer."""
    draws: bool = False
    """Whether the answer depends on the seed."""
    rendering: Rendering = _PLAINLY
    """How its images are written."""
    works: dict[tuple[int, bool, bool], Work] = field(default_factory=dict)
    """What requests cost that were within the limits, by the number and kind of their items."""
    lines: dict[bool, FixedLines] = field(default_factory=dict)
    """Header lines that are the same in every answer, by whether the URL names a version."""


def make_plan(
    registry: Registry,
    operation: Operation,
    served: ServedModel,
    query: bytes,
    accept: bytes | None,
    members: Mapping[str, Any],
) -> Plan:
    """Check what a request asks for.

    Args:
        registry: The models, for a refusal that names another.
        operation: The operation.
        served: The model.
        query: The query string.
        accept: The Accept header.
        members: Parameters in the body.

    Raises:
        InvalidParameter, UnsupportedOperation, NotAcceptable: It cannot be done; says why.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    parameters: Any = parse_parameters(operation, pairs, members, served=served)
    registry.check_needs(served, operation, parameters)
    form = _form(operation, parameters, accept)
    if form == "png" and operation.pictures == "map" and parameters.map == "none":
        parameters = parameters.model_copy(update={"map": "overlay"})
    return Plan(
        parameters,
        find_label(served, getattr(parameters, "label", None)),
        getattr(parameters, "seed", None),
        form,
        operation.draws(parameters, served.capabilities),
        parameters if isinstance(parameters, Rendering) else _PLAINLY,
    )


class Plans:
    """The plans of queries for one operation of one model, without parameters in a body."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, bytes | None], Plan] = {}

    def find(
        self,
        registry: Registry,
        operation: Operation,
        served: ServedModel,
        query: bytes,
        accept: bytes | None,
    ) -> Plan:
        """A kept plan, or else a new one; `make_plan` explains the arguments."""
        kept, key = self._kept, (query, accept)
        plan = kept.get(key)
        if plan is None:
            plan = make_plan(registry, operation, served, query, accept, {})
            if len(query) + len(accept or b"") <= MAX_KEY_BYTES:
                if len(kept) >= MAX_PLANS:
                    kept.clear()
                kept[key] = plan
        return plan


def _form(operation: Operation, parameters: Any, accept: bytes | None) -> str:
    """Format of the answer: the one asked for by name, or the best of the Accept header."""
    formats = operation.formats + operation.streams
    if getattr(parameters, "output", None) == "logits":
        formats = tuple(form for form in formats if form != "png")
    text = None if accept is None else accept.decode("latin-1")
    return negotiate(text, formats, wanted=parameters.format)
