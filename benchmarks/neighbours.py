"""Neighbours: which distance between latents finds pictures of the same label, and how fast.

Training pictures of each shipped model's data set are indexed, and test pictures are the queries:
the share whose label is that of most of their five nearest neighbours. `vae search` uses the first
distance. Then the search by faiss beside that by numpy. Not measured: encoding, and the service.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from rich.table import Table

from app.search.neighbours import find_nearest, load_faiss
from app.settings import PRETRAINED
from benchmarks.timing import table
from models.bundle.loading import Bundle, load_bundle
from training.data.datasets import load
from training.data.split import Split
from training.data.subset import choose_subset
from training.errors import DatasetError

MODELS = ("mnist", "fashion-mnist", "digits", "bccd")
"""Models by name, each with the data set of the same name, which has labels."""
INDEXED, QUERIES, NEIGHBOURS = 10_000, 2_000, 5
POINTS, LATENTS, ROUNDS = 100_000, 40, 5
"""Size of the index that is searched for time, and how often."""
_ROWS = 500

Distance = Callable[[np.ndarray], np.ndarray]
"""Latents to points whose Euclidean distance it is."""


def run(*, quick: bool, threads: int) -> Iterator[Table]:
    """Compare the distances on each model, and the libraries."""
    torch.set_num_threads(threads)
    found: dict[str, dict[str, str]] = {}
    missing = []
    for model in MODELS:
        try:
            found[model] = _shares(model, indexed=500 if quick else INDEXED)
        except DatasetError as fault:
            missing.append(f"{model} is left out: {fault}")
    made = table(
        f"Share of pictures whose label is that of most of {NEIGHBOURS} neighbours, %",
        *("distance", *found),
        caption=" ".join(("With its standard error.", *missing)),
    )
    for name in next(iter(found.values()), {}):
        made.add_row(name, *(shares[name] for shares in found.values()))
    yield made
    yield _speed(points=1_000 if quick else POINTS)


def _shares(model: str, *, indexed: int) -> dict[str, str]:
    """The share by each distance, in words.

    Raises:
        DatasetError: The data set is not at hand.
    """
    bundle = load_bundle(max((PRETRAINED / model).glob("[0-9]*"), key=lambda path: int(path.name)))
    dataset = load(model)
    spec = bundle.config.image
    splits = _some(dataset.train, indexed), _some(dataset.test, min(QUERIES, indexed))
    pictures, queries = (split.observations(spec) for split in splits)
    labels, wanted = (np.asarray(split.labels) for split in splits)
    means, scales = _encode(bundle, pictures)
    asked, _ = _encode(bundle, queries)
    shares = {
        name: _share(to_points(means), to_points(asked), labels, wanted)
        for name, to_points in distances(means, scales).items()
    }
    flat = pictures.reshape(len(pictures), -1), queries.reshape(len(queries), -1)
    shares["Euclidean between pixels"] = _share(*flat, labels, wanted)
    return {
        name: f"{100 * share:.1f} ± {100 * (share * (1 - share) / len(wanted)) ** 0.5:.1f}"
        for name, share in shares.items()
    }


def distances(means: np.ndarray, scales: np.ndarray) -> Mapping[str, Distance]:
    """The distances that are compared.

    Args:
        means: Posterior means of the indexed pictures, (N, L).
        scales: Their standard deviations.
    """
    noise = (scales**2).mean(0)
    spread = np.cov(means.T).reshape(means.shape[1], -1)
    return {
        "Euclidean between means": lambda z: z,
        "angle between means (cosine)": lambda z: z / np.linalg.norm(z, axis=1, keepdims=True),
        "means whitened": _whitener(spread),
        "aggregate posterior whitened": _whitener(spread + np.diag(noise)),
        "means in units of the posterior's sd": lambda z: z / np.sqrt(noise),
    }


def _whitener(covariance: np.ndarray) -> Distance:
    values, vectors = np.linalg.eigh(covariance)
    scaled = vectors / np.sqrt(values.clip(1e-9))
    return lambda z: np.asarray(z @ scaled)


@torch.inference_mode()
def _encode(bundle: Bundle, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations, (N, L)."""
    means, scales = [], []
    for start in range(0, len(x), _ROWS):
        posterior: Any = bundle.vae.posterior(torch.from_numpy(x[start : start + _ROWS]))
        means.append(posterior.mean.flatten(1))
        scales.append(posterior.scale.flatten(1))
    return torch.cat(means).double().numpy(), torch.cat(scales).double().numpy()


def _share(
    points: np.ndarray, queries: np.ndarray, labels: np.ndarray, wanted: np.ndarray
) -> float:
    """Share of the queries whose label is that of most of their neighbours; of ties, the lowest."""
    near = labels[find_nearest(points, queries, NEIGHBOURS).rows]
    most = [np.bincount(row).argmax() for row in near]
    return float(np.mean(most == wanted))


def _some(split: Split, count: int) -> Split:
    """At most so many pictures at random, always the same."""
    if len(split) <= count:
        return split
    return split.take(choose_subset(len(split), count, seed=0).numpy())


def _speed(*, points: int) -> Table:
    """Seconds of a search by each library, the least of some rounds."""
    random = np.random.default_rng(0)
    rows, queries = (
        random.normal(size=(count, LATENTS)).astype(np.float32) for count in (points, 100)
    )
    made = table(
        f"Ten neighbours among {points:,} points of {LATENTS} numbers, milliseconds",
        *("library", "one query", "100 queries"),
    )
    libraries = {"numpy": {"faiss": None}} | ({"faiss": {}} if load_faiss() else {})
    for name, blocked in libraries.items():
        with patch.dict(sys.modules, blocked):
            times = [_least_seconds(rows, some) for some in (queries[:1], queries)]
        made.add_row(name, *(f"{1e3 * seconds:.1f}" for seconds in times))
    return made


def _least_seconds(points: np.ndarray, queries: np.ndarray) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        find_nearest(points, queries, 10)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
