"""Labels come from train: what a held-out split has beyond them is left out."""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from training.data.array_split import ArraySplit
from training.data.file_split import FileSplit

AnySplit = TypeVar("AnySplit", ArraySplit, FileSplit)


def labels_from_train(
    parts: MutableMapping[str, AnySplit], *, fix: str, class_names: Sequence[str] = ()
) -> Iterator[str]:
    """Leave out held-out labels that train has not; say so, a sentence or two each.

    Args:
        parts: The splits by name, which are changed.
        fix: What gives a split labels; `{}` stands for its name.
        class_names: The names of the labels, if they have any.
    """
    known = parts["train"].labels
    for name, split in [(name, one) for name, one in parts.items() if name != "train"]:
        labels = split.labels
        if known is None and labels is not None:
            parts[name] = replace(split, labels=None)
            yield f"The labels of the {name} split are not used, since train has none."
        elif known is not None and labels is None:
            yield f"The {name} split has no labels. {fix.format(name)}."
        elif known is not None and labels is not None and len(new := np.setdiff1d(labels, known)):
            is_known = np.isin(labels, known)
            names = [class_names[label] if class_names else str(label) for label in new]
            said = f"{', '.join(names[:5])}{', ...' if len(new) > 5 else ''}"
            if 2 * is_known.sum() < len(labels):
                parts[name] = replace(split, labels=None)
                yield f"The {name} split has no labels: most are not labels of train ({said})."
            else:
                parts[name] = split.take(np.flatnonzero(is_known))
                yield (
                    f"{len(labels) - is_known.sum():,} of the {len(labels):,} pictures of the "
                    f"{name} split are left out: train has no label {said}."
                )
