"""Fields of an answer as a table: a row for each item, a column for each number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def table(
    columns: Mapping[str, np.ndarray], labels: Sequence[str], *, classes: Sequence[str] = ()
) -> dict[str, list[Any]]:
    """Columns of a table with a row per item; several numbers of one field are several columns.

    Probabilities are named by their class.
    """
    rows: dict[str, list[Any]] = {"file": list(labels)}
    for name, values in columns.items():
        flat = values.reshape(len(values), -1).T
        parts = classes if name == "probabilities" else range(len(flat))
        names = [name] if values.ndim == 1 else [f"{name}_{part}" for part in parts]
        rows.update(zip(names, map(_cells, flat), strict=True))
    return rows


def _cells(values: np.ndarray) -> list[Any]:
    """Plain values; NaN is None."""
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    return [None if gone else value for value, gone in zip(values.tolist(), missing, strict=True)]
