"""Nearest neighbours: faiss finds candidates where it is installed, numpy elsewhere.

Both give the same neighbours: the distances of the candidates are computed here, in float64.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from app.search.distances import Distance

SPARE = 32
"""Candidates beyond those asked for: float32 orders near equals as it likes."""
CHUNK_NUMBERS = 2**24
"""Distances that numpy computes at once, 64 MiB of them."""


class Neighbours(NamedTuple):
    """The nearest points of each query, the nearest first."""

    rows: np.ndarray
    """(Q, k), rows of the points."""
    distances: np.ndarray
    """(Q, k)."""


def find_nearest(
    points: np.ndarray, queries: np.ndarray, k: int, *, distance: Distance = "euclidean"
) -> Neighbours:
    """The k nearest points of each query; of equals, the first.

    Args:
        points: (N, L).
        queries: (Q, L).
        k: How many; all of them where there are fewer.
        distance: Of the points themselves, or one minus the cosine of the angle between them.
    """
    if distance == "cosine":
        found = find_nearest(_directions(points), _directions(queries), k)
        return Neighbours(found.rows, found.distances**2 / 2)
    k = min(k, len(points))
    points, queries = (np.ascontiguousarray(a, np.float32) for a in (points, queries))
    candidates = _candidates(points, queries, min(k + SPARE, len(points)))
    rows, distances = [], []
    for query, near in zip(queries, candidates, strict=True):
        near = np.sort(near)
        apart = points[near].astype(np.float64) - query
        found = np.sqrt((apart**2).sum(1))
        order = np.argsort(found, kind="stable")[:k]
        rows.append(near[order])
        distances.append(found[order])
    return Neighbours(np.array(rows).reshape(-1, k), np.array(distances).reshape(-1, k))


def _directions(points: np.ndarray) -> np.ndarray:
    """The points at length 1; the origin, which has no direction, stays."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(lengths > 0, lengths, 1))


def load_faiss() -> Any | None:
    """The library faiss, if it is installed."""
    try:
        return import_module("faiss")
    except ImportError:
        return None


def _candidates(points: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Rows of the nearest points of each query, in any order."""
    faiss = load_faiss()
    if faiss is None:
        return _by_numpy(points, queries, count)
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    rows: np.ndarray = index.search(queries, count)[1]
    return rows


def _by_numpy(points: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    lengths = (points**2).sum(1)
    step = max(1, CHUNK_NUMBERS // max(1, len(points)))
    found = []
    for start in range(0, len(queries), step):
        squared = lengths - 2 * queries[start : start + step] @ points.T
        found.append(np.argpartition(squared, count - 1, axis=1)[:, :count])
    return np.concatenate(found)
