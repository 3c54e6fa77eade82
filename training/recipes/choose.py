"""A recipe chosen for a data set that has none: every decision, with its reason in a sentence.

Only the training pictures are looked at (`describe.py`). Each decision sees the ones before it and
the entries set with `--set`, which it never overrules: `image.height=64` alone brings a width,
networks, latents and a number of epochs that suit 64 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from models.errors import ConfigError
from models.images import ImageSpec
from training.data.datasets import Dataset, load
from training.data.file_split import FileSplit
from training.data.pictures import Pictures
from training.recipes.asked import MAX_EPOCHS, Asked, num_epochs
from training.recipes.choose_image import decide_colour, decide_fit, decide_size, main_size
from training.recipes.choose_model import (
    ENOUGH,
    decide_labels,
    decide_latents,
    decide_likelihood,
    decide_networks,
    decide_principal_path,
    decide_prior,
)
from training.recipes.classes import find_classes
from training.recipes.describe import NUM_LOOKED_AT, Description, describe, described_specs
from training.recipes.draft import Draft, Reason
from training.recipes.entries import configs_in
from training.recipes.faults import no_table
from training.recipes.file import check_recipe
from training.recipes.loop import Precision
from training.recipes.name import recipe_name
from training.recipes.overrides import apply_overrides, asked_groups
from training.recipes.recipe import Recipe

MIRROR_RATIO = 1.5
"""Largest `Description.mirror_ratio` at which pictures are mirrored at random."""
_NOTHING = Asked()
_TRAIN_SHARE = 0.8
_FEW = 50
"""So many times as many pictures as a description looks at are few enough to be prepared for it."""
_BATCH_SIZES = ((20_000, 128), (ENOUGH, 64), (500, 32), (0, 16))


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe, and the reasons for its entries by table."""

    recipe: Recipe
    reasons: Mapping[str, Sequence[Reason]]


def choose_recipe(
    dataset: Dataset, *, source: str, overrides: Sequence[str] = (), asked: Asked = _NOTHING
) -> ChosenRecipe:
    """Choose a recipe that suits the training pictures, the model's use and the time.

    Args:
        dataset: The data set.
        source: Its name or path, as `training.data.datasets.load` takes it.
        overrides: `a.b=c` each, as `training.recipes.file.load_recipe` takes them.
        asked: What the model is for, the size of its pictures, the time and the device.

    Raises:
        ConfigError: An override cannot be read, or does not go with the rest.
    """
    values = _values(overrides)
    seen = replace(describe(dataset.train), classes=find_classes(dataset))
    return _choose(seen, values, source, overrides, asked)


def load_to_choose(
    source: str,
    *,
    overrides: Sequence[str],
    asked: Asked,
    data_dir: Path | None,
    download: bool,
    console: Console | None,
) -> Dataset:
    """Load a data set that a recipe is to be chosen for; no picture is decoded twice by both.

    The choice is guessed by some of the pictures, so that the levels of all are made while they are
    looked at.

    Args:
        source: See `choose_recipe`; as `overrides` and `asked`.
        data_dir: See `training.data.datasets.load`; as `download` and `console`.

    Raises:
        DatasetError: As `training.data.datasets.load`.
    """

    def guess(pictures: Pictures, count: int) -> list[ImageSpec]:
        some = FileSplit(pictures, np.arange(len(pictures)))
        specs = described_specs(some.statistics) if count <= _FEW * NUM_LOOKED_AT else []
        seen = describe(some)
        facts = seen.facts.times(max(1, round(_TRAIN_SHARE * count / len(some))))
        try:
            chosen = _choose(
                replace(seen, facts=facts), _values(overrides), source, overrides, asked
            )
        except ConfigError:  # of which the choice itself will say more
            return specs
        return [*specs, chosen.recipe.image]

    return load(
        source,
        group_by=asked_groups(overrides),
        specs=guess,
        data_dir=data_dir,
        download=download,
        console=console,
    )


def _values(overrides: Sequence[str]) -> dict[str, Any]:
    """The entries that are set.

    Raises:
        ConfigError: One cannot be read, or sets a table to something else.
    """
    values = apply_overrides({}, overrides)
    for key, entry in Recipe.model_fields.items():
        if configs_in(entry.annotation) and not isinstance(values.get(key, {}), dict):
            raise no_table(key, values[key])
    return values


def _choose(
    seen: Description, values: dict[str, Any], source: str, overrides: Sequence[str], asked: Asked
) -> ChosenRecipe:
    draft = Draft(values, asked)
    draft.fill({"name": recipe_name(source), "seed": 1, "dataset": {"name": source}})
    for decide in _DECISIONS:
        decide(draft, seen)
    _decide_precision(draft, asked.device)
    return ChosenRecipe(
        check_recipe(draft.values, f"Recipe for {source}", overrides=overrides), draft.reasons
    )


def _decide_epochs(draft: Draft, seen: Description) -> None:
    count, (height, width) = seen.facts.count, draft.size
    epoch = count * height * width
    epochs = num_epochs(draft.asked.most_pixels, epoch=epoch)
    if epochs == MAX_EPOCHS:
        because = f"more would only repeat {count:,} pictures"
    else:
        time = draft.asked.say_time(epochs * epoch)
        because = f"{count:,} pictures of {width}x{height} then take {time}"
    draft.decide("training", Reason("epochs", str(epochs), because), epochs=epochs)


def _decide_steps(draft: Draft, seen: Description) -> None:
    """The batch size, and the entries that depend on the number of steps."""
    count, epochs = seen.facts.count, draft.number("training", "epochs")
    batch = draft.number("training", "batch_size")
    batch = batch or next(size for fewest, size in _BATCH_SIZES if count >= fewest)
    per_epoch = max(1, count // batch)
    because = f"{count:,} pictures then make {per_epoch:,} steps an epoch"
    draft.decide("training", Reason("batch size", str(batch), because), batch_size=batch)
    warmup = round(epochs / 10, 1)
    because = "latents are in use before their cost counts in full, so that few collapse"
    reason = Reason("KL warm-up", f"{warmup:g} epochs", because)
    kind, gradient = draft.get("objective", "kind"), draft.get("objective", "gradient")
    if kind in ("elbo", "m2") or (kind == "iwae" and gradient in (None, "plain")):
        draft.decide("training", reason, kl_warmup_epochs=warmup)
    every = max(1, epochs // 30)
    stopping = {"validate_every_epochs": every, "patience": 10, "max_falls_in_a_row": 4}
    draft.fill({"training": stopping})
    draft.fill({"training": {"start_from_marginal": True}})
    draft.fill(
        {"training": {"ema_decay": round(min(0.999, 1 - 20 / (per_epoch * epochs + 20)), 4)}}
    )
    draft.fill({"optimizer": {"learning_rate": 2e-3, "weight_decay": 0.01}})


def _decide_mirroring(draft: Draft, seen: Description) -> None:
    choice, because = "none", "their mean differs from its mirror image"
    if not draft.has_colour:
        because = "grey pictures may be of letters or organs, which have a side"
    elif seen.mirror_ratio <= MIRROR_RATIO:
        choice, because = "horizontal", "their mean cannot be told from its mirror image"
    draft.decide("augmentation", Reason("mirroring", choice, because), flip=choice)


def _decide_crops(draft: Draft, seen: Description) -> None:
    """Random crops for few pictures of many sizes, which nobody has aligned to the pixel."""
    pixels, count = 0, seen.facts.count
    if draft.get("augmentation", "probability") == 0:
        because = "no image is to be moved"
    elif count >= ENOUGH:
        because = f"{count:,} pictures are enough without"
    elif seen.has_plain_border:
        because = "pictures on a plain background may be aligned to the pixel"
    elif who := main_size(seen)[1]:
        because = f"{who} have one size, and may be aligned to the pixel"
    else:
        pixels = min(draft.size) // 10
        because = f"{count:,} pictures are few, and of too many sizes to be aligned to the pixel"
    choice = f"by up to {pixels} pixels" if pixels else "none"
    draft.decide("augmentation", Reason("random crops", choice, because), crop_pixels=pixels)
    if draft.get("augmentation", "crop_pixels"):
        draft.fill({"augmentation": {"probability": 1.0}})


def _decide_precision(draft: Draft, device: str) -> None:
    if draft.get("vae", "encoder", "kind") == "mlp":
        precision, because = "32-true", "dense layers gain nothing from less"
    else:
        precision, because = fast_precision(device)
    draft.decide("training", Reason("precision", precision, because), precision=precision)


def fast_precision(device: str) -> tuple[Precision, str]:
    """The fastest precision of a device, and why.

    bf16-mixed where bfloat16 is multiplied in hardware; emulated, it is slower than float32.
    """
    if device.startswith("cuda"):
        known = torch.cuda.is_bf16_supported(including_emulation=False)
        name = torch.cuda.get_device_name()
    else:
        # torch before 2.10 has no get_capabilities
        found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        known, name = bool(found.get("amx_bf16") or found.get("avx512_bf16")), "this CPU"
    if known:
        return "bf16-mixed", f"{name} multiplies bfloat16 faster than float32"
    return "32-true", f"{name} gains nothing from bfloat16"


_DECISIONS: tuple[Callable[[Draft, Description], None], ...] = (
    *(decide_colour, decide_size, decide_fit),
    *(decide_likelihood, decide_networks, decide_latents, decide_principal_path),
    *(decide_labels, decide_prior),
    *(_decide_epochs, _decide_steps, _decide_mirroring, _decide_crops),
)
