"""Columns of a score: fields with one value for each image, and how batches of them are joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_type_hints

import numpy as np
from pydantic import Field

Array = TypeVar("Array")

Number = float | None
"""Null in JSON, and NaN in arrays, where it is not finite or does not exist."""
Vector = list[float] | None
Matrix = list[list[Number]] | None
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]


@dataclass(frozen=True)
class Column:
    """Metadata of a field that answers carry, with one value for each image."""

    kind: Any
    """Type of one image's value, as JSON has it."""
    words: str
    example: Any = None
    """A value that fits the examples of the other columns."""
    keeps_shape: bool = False
    """Whether the arrays of one image keep their axes; they are flattened otherwise."""


@cache
def columns_of(score: type) -> Mapping[str, Column]:
    """The columns of a score's class by their names, in the order of JSON."""
    hints = get_type_hints(score, include_extras=True)
    return {
        name: note
        for name, hint in hints.items()
        for note in getattr(hint, "__metadata__", ())
        if isinstance(note, Column)
    }


def join_columns(scores: Sequence[Any]) -> dict[str, Any]:
    """The values of each column, image after image, of a score of each batch.

    Arrays have a row for each image; what is said once for a batch is repeated for each of its
    images, None too.
    """
    first = scores[0]
    joined: dict[str, Any] = {}
    for name, column_of in columns_of(first.__class__).items():
        values = [getattr(score, name) for score in scores]
        if isinstance(values[0], tuple | list):
            joined[name] = [entry for value in values for entry in value]
        elif hasattr(values[0], "shape"):
            rows = np.concatenate([np.asarray(value) for value in values])
            as_it_is = rows.ndim == 1 or column_of.keeps_shape
            joined[name] = rows if as_it_is else rows.reshape(len(rows), -1)
        else:
            joined[name] = values[0]
    count = max(len(column) for column in joined.values() if isinstance(column, list | np.ndarray))
    return {
        name: column if isinstance(column, list | np.ndarray) else [column] * count
        for name, column in joined.items()
    }
