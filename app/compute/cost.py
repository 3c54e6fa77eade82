"""How much work a request is, and the parts in which it is done."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.compute.inputs import Inputs
from app.operations.table import Operation
from app.serving.served_model import ServedModel
from models.estimators.labels import GUESS_NUM_SAMPLES

GROUP_ITEMS = 64
"""Items that go through a network at once: the most that a chunk of a cheap operation holds."""
GROUP_DRAWS = 16384
"""Draws of latents at once, where they are the answer."""
CHUNK_COST = 4096.0
"""Cost units of one chunk, some tens of milliseconds."""


@dataclass(frozen=True)
class Work:
    """How large a request is."""

    items: int
    samples: int
    """For each item."""
    cost: float
    numbers: int
    """In the answer, at most."""


def measure(operation: Operation, served: ServedModel, inputs: Inputs, parameters: Any) -> Work:
    """The size of a request, before anything of it is computed."""
    latents, pixels = served.vae.num_latents, served.vae.config.num_dimensions
    items = getattr(parameters, "n", None) or getattr(parameters, "steps", None)
    items = items or inputs.num_items
    samples = getattr(parameters, "num_samples", 1)
    numbers = {"encode": latents * (2 + samples), "classify": len(served.classes)}
    cost = items * _rows_per_item(operation, served, inputs, parameters) * served.cost
    return Work(items, samples, cost, items * numbers.get(operation.name, latents + pixels))


def _rows_per_item(
    operation: Operation, served: ServedModel, inputs: Inputs, parameters: Any
) -> int:
    """Decodings for each item: draws, times labels or components that are tried in turn."""
    drawn = operation.per_item and operation.draws(parameters, served.capabilities)
    rows = int(parameters.num_samples) if drawn else 1
    tried = branches(served, inputs)
    if served.vae.config.posterior.kind == "enumerated":
        return rows + tried
    if tried > 1 and drawn:
        rows *= tried
    if tried > 1 and operation.guesses and "label_posterior" in served.lacks:
        rows += GUESS_NUM_SAMPLES * tried
    return rows


def branches(served: ServedModel, inputs: Inputs) -> int:
    """How many labels or components are tried for each image."""
    if inputs.x is None:
        return 1
    if served.vae.config.posterior.kind == "enumerated":
        return served.vae.num_latents
    return 1 if inputs.label is not None else max(1, served.vae.num_labels)


def groups(
    served: ServedModel, inputs: Inputs, num_items: int, *, draws_per_item: int = 0
) -> Iterator[slice]:
    """Slices of the items, each as large as may go through a network at once."""
    rows = GROUP_ITEMS // branches(served, inputs)
    size = max(1, min(rows, GROUP_DRAWS // (draws_per_item or 1)))
    for start in range(0, num_items, size):
        yield slice(start, min(start + size, num_items))


def chunk_rows(served: ServedModel) -> int:
    """Decoder rows of one chunk."""
    return max(16, min(512, int(CHUNK_COST / served.cost)))
