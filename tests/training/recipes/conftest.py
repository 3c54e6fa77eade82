"""Descriptions of pictures, and what is chosen for them."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.data.array_split import ArraySplit
from training.data.datasets import Dataset
from training.data.image_statistics import ImageStatistics
from training.recipes import asked as asked_for
from training.recipes import choose as chooser
from training.recipes.asked import Asked
from training.recipes.choose import ChosenRecipe, choose_recipe
from training.recipes.describe import Description

GREY = Description(
    facts=ImageStatistics(
        Counter({(28, 28): 5000}), Counter({"grey": 5000}), 0, np.ones(256, bool), 1, 0, 0
    ),
    has_plain_border=False,
    background=0,
    mirror_ratio=9.0,
)
BLACK_AND_WHITE = np.isin(np.arange(256), (0, 255))
MIXED = {(100, 100): 1500, (300, 200): 1200, (480, 640): 1300}
FEW = {size: count // 10 for size, count in MIXED.items()}
WIDE = {(90, 120): 1500, (480, 640): 1200, (960, 1280): 300}


def seen(*, sizes: dict[tuple[int, int], int] | None = None, **changes) -> Description:
    """A description like `GREY` but for these facts and measures."""
    facts = {"sizes": Counter(sizes)} if sizes else {}
    for name in ("num_colour", "used"):
        if name in changes:
            facts[name] = changes.pop(name)
    return replace(GREY, facts=replace(GREY.facts, **facts), **changes)


def shape(chosen: ChosenRecipe) -> tuple[int, int, int]:
    return chosen.recipe.image.shape


def reasons(chosen: ChosenRecipe) -> dict[str, str]:
    return {one.subject: str(one) for why in chosen.reasons.values() for one in why}


@pytest.fixture(autouse=True)
def fast_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen by the time is chosen for a fast core, whatever the machine."""
    monkeypatch.setattr(asked_for, "kind_of_cpu", lambda: "cpu")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch):
    """A function from a description and overrides to what is chosen for it."""
    split = ArraySplit(np.zeros((8, 4, 4), dtype=np.uint8))
    dataset = Dataset(name="", train=split, validation=split, test=split, licence="")

    def choose_for(description: Description, *overrides: str, **asked: Any) -> ChosenRecipe:
        monkeypatch.setattr(chooser, "describe", lambda split: description)
        return choose_recipe(
            dataset, source="some/Pictures", overrides=overrides, asked=Asked(**asked)
        )

    return choose_for
