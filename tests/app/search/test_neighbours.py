"""Nearest neighbours: by faiss and by numpy the same, and those of an exhaustive search."""

import sys

import numpy as np
import pytest

from app.search import neighbours
from app.search.neighbours import find_nearest

RANDOM = np.random.default_rng(0)


@pytest.fixture(params=["faiss", "numpy"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The library that finds candidates."""
    name = str(request.param)
    if name == "faiss":
        pytest.importorskip("faiss", reason="faiss is not installed")
    else:
        monkeypatch.setitem(sys.modules, "faiss", None)
    return name


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("count", "k"), [(500, 7), (40, 1), (5, 9), (1, 3)])
def test_the_nearest_are_those_of_an_exhaustive_search(count: int, k: int) -> None:
    points = RANDOM.normal(size=(count, 6)).astype(np.float32)
    points[count // 2 :] = points[: count - count // 2]  # each twice
    queries = RANDOM.normal(size=(30, 6)).astype(np.float32)
    queries[0] = points[0]
    found = find_nearest(points, queries, k)
    apart = points[None].astype(np.float64) - queries[:, None]
    every = np.sqrt((apart**2).sum(-1))
    order = np.argsort(every, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_array_equal(found.distances, np.take_along_axis(every, order, 1))
    assert found.rows[0, 0] == 0
    assert found.distances[0, 0] == 0


@pytest.mark.usefixtures("library")
def test_cosine_distances_are_of_directions_alone() -> None:
    points, queries = np.array([[1.0, 0], [0, 3], [5, 5], [0, 0]]), np.array([[2.0, 0]])
    found = find_nearest(points, queries, 3, distance="cosine")
    assert found.rows.tolist() == [[0, 2, 3]]
    np.testing.assert_allclose(found.distances, [[0, 1 - 0.5**0.5, 0.5]], atol=1e-7)


def test_both_libraries_give_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed")
    points = (100 + RANDOM.normal(size=(3000, 20))).astype(np.float32)  # far from the origin
    queries = points[:40] + RANDOM.normal(size=(40, 20)).astype(np.float32)
    by_faiss = find_nearest(points, queries, 10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(neighbours, "CHUNK_NUMBERS", 7000)  # two queries at once
    by_numpy = find_nearest(points, queries, 10)
    np.testing.assert_array_equal(by_faiss.rows, by_numpy.rows)
    np.testing.assert_array_equal(by_faiss.distances, by_numpy.distances)
