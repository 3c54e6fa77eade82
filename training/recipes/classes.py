"""The classes of a data set, and whether a model can learn from them.

`choose.py` decides by it.
"""

from dataclasses import dataclass

import numpy as np

from training.data.datasets import Dataset

FEWEST = 20
"""Training pictures of a class from which on a classifier can learn it."""
MOST_CLASSES = 100
"""Most classes of a model: log p(x) is a sum over all of them."""


@dataclass(frozen=True)
class Classes:
    """The classes of the training pictures."""

    count: int
    fewest: int
    """Training pictures of the class that has the fewest."""
    shares: tuple[float, ...]
    """Share of each class among the training pictures, 8 digits."""
    unused_because: str
    """Why they are of no use, in words; empty where they are."""


def find_classes(dataset: Dataset) -> Classes | None:
    """The classes of a data set; None for one without labels."""
    labels = dataset.train.labels
    if labels is None or len(labels) == 0:
        return None
    counts = np.bincount(labels, minlength=len(dataset.class_names))
    fewest = int(counts.min())
    names = dataset.class_names or [str(label) for label in range(len(counts))]
    because = ""
    if len(counts) < 2:
        because = "there is one class"
    elif dataset.validation.labels is None:
        because = "the validation split has none"
    elif len(counts) > MOST_CLASSES:
        because = f"there are {len(counts):,} classes, more than {MOST_CLASSES}"
    elif fewest < FEWEST:
        because = (
            f"{names[int(counts.argmin())]} has {fewest} training pictures, fewer than {FEWEST}"
        )
    shares = tuple(round(count / len(labels), 8) for count in counts.tolist())
    return Classes(len(counts), fewest, shares, because)
