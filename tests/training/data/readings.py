"""What a data set says and holds, to compare readings of it."""

import numpy as np

from models.images import ImageSpec
from training.data.datasets import Dataset
from training.data.split import Split


def facts(dataset: Dataset) -> dict[str, object]:
    """All that a data set says but its pixels."""
    return {
        "sha256": dataset.sha256,
        "classes": dataset.class_names,
        "skipped": dataset.skipped,
        "warnings": dataset.warnings,
        "labels": [None if one.labels is None else one.labels.tolist() for one in splits(dataset)],
        "digests": [one.digests.tolist() for one in splits(dataset)],
        "paths": [[one.name(i) for i in range(len(one))] for one in splits(dataset)],
        "counts": [
            (one.statistics.sizes, one.statistics.modes, one.statistics.num_colour)
            for one in splits(dataset)
        ],
        "levels": [one.statistics.used.tolist() for one in splits(dataset)],
        "means": [(one.statistics.mean, one.statistics.deviation) for one in splits(dataset)],
    }


def splits(dataset: Dataset) -> list[Split]:
    return list(dataset.splits.values())


def pixels(dataset: Dataset, spec: ImageSpec) -> list[np.ndarray]:
    found = []
    for split in dataset.splits.values():
        whole = split.observations(spec)
        assert np.array_equal(whole, np.concatenate([*split.observations_by_chunk(spec, 7)]))
        some = np.arange(len(split))[::-2]
        assert np.array_equal(split.take(some).observations(spec), whole[some])
        found += [split.read_levels(spec), whole]
    return found


def assert_equal(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
