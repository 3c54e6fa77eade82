"""What is doubtful in the pictures and labels of a data set, in words."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.images.warnings import LEAST_RANGE
from training.data.digests import count_among, of_two_labels
from training.data.split import Split

FEWEST_SCORED = 2
"""Fewest pictures whose mean score has a standard error."""
_MOST_CLASSES = 1_000


def doubts(splits: Mapping[str, Split], class_names: Sequence[str]) -> Iterator[str]:
    """Warnings, a sentence or two each: labels, copies and splits that are too small.

    Args:
        splits: Train, validation and test.
        class_names: The names of the labels; empty without labels or names.
    """
    yield from _untrained_classes(splits["train"], class_names)
    yield from _pictures_of_two_labels(splits)
    if unused := unused_range(splits["train"]):
        yield unused
    if copies := copies_of_training_images(splits):
        yield copies
    if small := too_small(splits):
        yield small


def unused_range(train: Split) -> str:
    """That all training pictures use less than a tenth of the range, in words; empty if not."""
    (low, high), white = train.statistics.extremes, train.statistics.levels - 1
    if high - low >= LEAST_RANGE * white:
        return ""
    return (
        f"All training pixels lie in {low}..{high} of 0..{white}, so that there is next to nothing "
        "to learn. Scale them to the whole range: 12 bits in a 16-bit file by 16, for example."
    )


def copies_of_training_images(splits: Mapping[str, Split]) -> str:
    """Held-out images that the training split holds too, in words; empty when none."""
    train = splits["train"].digests
    counts = {
        name: count_among(split.digests, train) for name, split in splits.items() if name != "train"
    }
    if not any(counts.values()):
        return ""
    said = " and ".join(f"{count:,} of the {name} split" for name, count in counts.items())
    return f"Exact copies of training images: {said}. Scores on them flatter the model."


def too_small(splits: Mapping[str, Split]) -> str:
    """The held-out split that no score can be computed on, and what to do; empty when none."""
    for name in ("validation", "test"):
        if (count := len(splits[name])) < FEWEST_SCORED:
            return (
                f"The {name} split has {count} picture{'s' if count != 1 else ''}; a score with a "
                f"standard error needs {FEWEST_SCORED}. Add pictures to it, or take it away: a "
                "tenth of train is held out then."
            )
    return ""


def _untrained_classes(train: Split, class_names: Sequence[str]) -> Iterator[str]:
    if train.labels is None:
        return
    highest = max(len(class_names), int(train.labels.max()) + 1)
    if highest > _MOST_CLASSES + len(train):
        yield (
            f"Labels reach {highest - 1:,} for {len(train):,} training pictures: they are hardly "
            "classes. Number the classes from 0 on, or leave the labels out."
        )
        return
    missing = np.flatnonzero(np.bincount(train.labels, minlength=highest) == 0)
    if len(missing):
        names = [class_names[label] if class_names else str(label) for label in missing[:5]]
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        yield (
            f"No training picture: class {', '.join(names)}{more}. A model of labels cannot learn "
            "it. Add pictures, or leave the class out."
        )


def _pictures_of_two_labels(splits: Mapping[str, Split]) -> Iterator[str]:
    """Copies of one picture under several labels, in one split or across them."""
    labelled = {name: split for name, split in splits.items() if split.labels is not None}
    if not labelled:
        return
    digests = np.concatenate([split.digests for split in labelled.values()])
    labels = np.concatenate([split.labels for split in labelled.values()])
    count, places = of_two_labels(digests, labels)
    if count:
        said = " and ".join(_place(labelled, place) for place in places)
        noun = "picture has" if count == 1 else "pictures have"
        yield f"{count:,} {noun} more than one label, such as {said}. Keep each under one label."


def _place(splits: Mapping[str, Split], place: int) -> str:
    """What a picture is called, counted over all splits."""
    ends = np.cumsum([len(split) for split in splits.values()])
    name = list(splits)[int(np.searchsorted(ends, place, side="right"))]
    position = place - int(ends[list(splits).index(name)]) + len(splits[name])
    return splits[name].name(position) or f"{name}[{position}]"
