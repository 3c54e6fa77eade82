"""A recipe chosen for a data set that has none: every decision, with its reason in a sentence.

Only the training pictures are looked at (`describe.py`). Each decision sees the ones before it and
the entries set with `--set`, which it never overrules: `image.height=64` alone brings a width,
networks, latents and a number of epochs that suit 64 pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from training.data.datasets import Dataset
from training.recipes.asked import MAX_EPOCHS, Asked, num_epochs
from training.recipes.choose_image import decide_colour, decide_fit, decide_size, main_size
from training.recipes.choose_model import (
    ENOUGH,
    decide_labels,
    decide_latents,
    decide_likelihood,
    decide_networks,
    decide_prior,
)
from training.recipes.classes import find_classes
from training.recipes.describe import Description, describe
from training.recipes.draft import Draft, Reason
from training.recipes.entries import configs_in
from training.recipes.faults import no_table
from training.recipes.file import check_recipe
from training.recipes.loop import Precision
from training.recipes.name import recipe_name
from training.recipes.overrides import apply_overrides
from training.recipes.recipe import Recipe

MIRROR_RATIO = 1.5
"""Largest `Description.mirror_ratio` at which pictures are mirrored at random."""
_NOTHING = Asked()
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
    values = apply_overrides({}, overrides)
    for key, entry in Recipe.model_fields.items():
        if configs_in(entry.annotation) and not isinstance(values.get(key, {}), dict):
            raise no_table(key, values[key])
    draft = Draft(values, asked)
    seen = replace(describe(dataset.train), classes=find_classes(dataset))
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
    *(decide_likelihood, decide_networks, decide_latents, decide_labels, decide_prior),
    *(_decide_epochs, _decide_steps, _decide_mirroring, _decide_crops),
)
