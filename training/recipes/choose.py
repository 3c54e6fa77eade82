"""A recipe chosen for a data set that has none: every decision, with its reason in a sentence.

Only the training pictures are looked at (`describe.py`). Each decision sees the ones before it and
the entries set with `--set`, which it never overrules: `image.height=64` alone brings a width,
networks, latents and a number of epochs that suit 64 pixels.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, log2
from statistics import median
from typing import Any

import torch

from training.data.datasets import Dataset
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

SMALL_SIDE = {1: 28, 3: 32}
"""Side of the model's pictures, by channels, where the data's sizes differ or are large."""
LARGE_SIDE = 64
"""The same where there are `ENOUGH` pictures; larger pictures are always made smaller."""
ENOUGH = 2_000
"""Number of training pictures from which on a data set is not small."""
PIXEL_BUDGET = 1.8e9
"""Most pixels (height x width) that a run reads: an hour at 0.5 million a second, the speed of
these networks on one CPU core in float32."""
MAX_EPOCHS = 300
COLOUR_SHARE = 0.1
"""Share of the pictures that must have colour to make the model's pictures RGB."""
MIRROR_RATIO = 1.5
"""Largest `Description.mirror_ratio` at which pictures are mirrored at random."""
MAIN_SHARE = 0.95
"""Share of the pictures that must have a size to make it the one size of the data."""
_ALIKE = 1.1
"""Largest ratio of two aspects that count as the same."""
_ENCODER_WIDTHS = (32, 64, 96, 96, 96, 96, 96, 96)
"""Channels of the convolutions at one half, one quarter, ... of the sides."""
_DECODER_WIDTHS = (32, 48, 96, 96, 96, 96, 96, 96)
_CLASSIFIER_WIDTHS = (16, 32, 64, 64, 64, 64, 64, 64)
_SMALLEST_CONV = 9
_DEEPEST_SIDE = 7
_LATENTS = ((256, 16), (1_024, 40), (8_192, 64), (float("inf"), 128))
_LEARNT_LATENTS = ((ENOUGH, 128), (500, 32), (0, 16))
_COMPONENTS = 32
_BATCH_SIZES = ((20_000, 128), (ENOUGH, 64), (500, 32), (0, 16))


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe, and the reasons for its entries by table."""

    recipe: Recipe
    reasons: Mapping[str, Sequence[Reason]]


def choose_recipe(
    dataset: Dataset, *, source: str, overrides: Sequence[str] = (), device: str = "cpu"
) -> ChosenRecipe:
    """Choose a recipe that suits the training pictures and trains in an hour or two on a CPU.

    Args:
        dataset: The data set.
        source: Its name or path, as `training.data.datasets.load` takes it.
        overrides: `a.b=c` each, as `training.recipes.file.load_recipe` takes them.
        device: "cpu" or "cuda": the precision of training depends on it.

    Raises:
        ConfigError: An override cannot be read, or does not go with the rest.
    """
    values = apply_overrides({}, overrides)
    for key, entry in Recipe.model_fields.items():
        if configs_in(entry.annotation) and not isinstance(values.get(key, {}), dict):
            raise no_table(key, values[key])
    draft = Draft(values)
    seen = replace(describe(dataset.train), classes=find_classes(dataset))
    draft.fill({"name": recipe_name(source), "seed": 1, "dataset": {"name": source}})
    for decide in _DECISIONS:
        decide(draft, seen)
    _decide_precision(draft, device)
    return ChosenRecipe(
        check_recipe(draft.values, f"Recipe for {source}", overrides=overrides), draft.reasons
    )


# Pictures


def _decide_colour(draft: Draft, seen: Description) -> None:
    channels = 3 if seen.facts.colour_share >= COLOUR_SHARE else 1
    num_colour, count = seen.facts.num_colour, seen.facts.count
    because = f"{num_colour:,} of {count:,} pictures have colour"
    if num_colour in (0, count):
        because = f"{'all pictures have' if num_colour else 'no picture has'} colour"
    choice = "RGB" if channels == 3 else "grey"
    draft.decide("image", Reason("colour", choice, because), channels=channels)


def _decide_size(draft: Draft, seen: Description) -> None:
    (height, width), because = _native_size(seen) or _common_size(draft, seen)
    asked_height, asked_width = draft.size
    if asked_height and not asked_width:
        width = max(1, round(asked_height * width / height))
    if asked_width and not asked_height:
        height = max(1, round(asked_width * height / width))
    choice = f"{asked_width or width}x{asked_height or height}"
    draft.decide("image", Reason("size", choice, because), height=height, width=width)


def _native_size(seen: Description) -> tuple[tuple[int, int], str] | None:
    """The size of nearly all pictures, if there is one and it is at most `LARGE_SIDE`."""
    size, who = _main_size(seen)
    if who and max(size) <= LARGE_SIDE:
        return size, f"{who} have it"
    return None


def _main_size(seen: Description) -> tuple[tuple[int, int], str]:
    """The most frequent size, and who has it in words; no words where many have others."""
    (size, having), *others = seen.facts.sizes.most_common()
    if not others:
        return size, "all pictures"
    count = seen.facts.count
    return size, f"{having:,} of {count:,} pictures" if having >= MAIN_SHARE * count else ""


def _common_size(draft: Draft, seen: Description) -> tuple[tuple[int, int], str]:
    """A size for pictures of many sizes or of a large one; it keeps an aspect that most share."""
    count, shorter = seen.facts.count, _median_of(min, seen)
    side = LARGE_SIDE if count >= ENOUGH and shorter >= LARGE_SIDE else None
    side = side or SMALL_SIDE[3 if draft.has_colour else 1]
    if shorter < LARGE_SIDE:
        limit = f"the shorter side is {shorter:g} in the median"
    else:
        limit = f"{count:,} pictures are {'enough' if count >= ENOUGH else 'too few'} for 64x64"
    (high, wide), who = _main_size(seen)
    sizes = f"there are {len(seen.facts.sizes):,} sizes"
    found = f"{who} are {wide}x{high}, with a side above {LARGE_SIDE}" if who else sizes
    aspect = _median_of(_aspect, seen)
    long = max(aspect, 1 / aspect)
    if long <= _ALIKE or _share_near(aspect, seen) < 0.9:
        return (side, side), f"{found}, and {limit}"
    other = max(4, 4 * round(side / long / 4))
    size = (other, side) if aspect > 1 else (side, other)
    return size, f"{found}{'' if who else ' of one shape'}, and {limit}"


def _decide_fit(draft: Draft, seen: Description) -> None:
    height, width = draft.size
    kept = _median_of(lambda size: 1 / _ratio(_aspect(size), width / height), seen)
    if _share_near(width / height, seen) >= 0.9 and len(seen.facts.sizes) > 1:
        fit, because = "stretch", "most pictures have nearly that shape"
    elif seen.has_plain_border:
        fit, because = "pad", f"they stand on a plain background ({seen.background} of 255)"
    elif kept > 0.5:
        fit, because = "crop", "they fill their frame, and the middle shows most of it"
    else:
        fit, because = "pad", "the middle alone would show less than half of most pictures"
    draft.decide("image", Reason("fit to the size", fit, because), fit=fit)
    draft.fill({"image": {"background": seen.background}})


def _median_of(measure: Callable[[tuple[int, int]], float], seen: Description) -> float:
    """The median of a measure over all pictures, computed once per size."""
    counted = sorted((measure(size), n) for size, n in seen.facts.sizes.items())
    ends = list(accumulate(n for _, n in counted))
    middle = ((ends[-1] - 1) // 2, ends[-1] // 2)
    return median(counted[bisect_right(ends, position)][0] for position in middle)


def _aspect(size: tuple[int, int]) -> float:
    return size[1] / size[0]


def _ratio(aspect: float, other: float) -> float:
    return max(aspect / other, other / aspect)


def _share_near(aspect: float, seen: Description) -> float:
    """Share of the pictures that have nearly that aspect."""
    sizes = seen.facts.sizes
    near = sum(n for size, n in sizes.items() if _ratio(_aspect(size), aspect) <= _ALIKE)
    return near / sizes.total()


# Model


def _decide_likelihood(draft: Draft, seen: Description) -> None:
    """The likelihood and the image's levels, which must agree."""
    kind, method = draft.get("vae", "likelihood", "kind"), draft.get("image", "binarization")
    levels = draft.number("image", "levels") or draft.number("vae", "likelihood", "levels")
    as_they_are = set(seen.facts.sizes) == {draft.size}
    binary = seen.facts.is_binary and as_they_are and not draft.has_colour
    wants_binary = kind == "bernoulli" or levels == 2 or method not in (None, "none")
    if wants_binary or (binary and (kind, levels, method) == (None, 0, None)):
        method = "threshold" if seen.facts.is_binary else "stochastic"
        because = "every pixel is black or white" if binary else "two levels were asked for"
        draft.fill({"image": {"levels": 2, "binarization": method}})
        draft.decide("vae", Reason("likelihood", "Bernoulli", because), likelihood=_BERNOULLI)
        return
    native = seen.facts.levels if as_they_are and seen.facts.levels > 2 else 256
    levels = levels or native
    draft.fill({"image": {"levels": levels}})
    if kind in ("continuous_bernoulli", "normal"):
        draft.fill({"image": {"values": "unit"}})
    elif kind == "discretized_normal":
        draft.fill({"vae": {"likelihood": {"kind": kind, "levels": levels}}})
    mixtures = 3 if draft.has_colour else 5
    draft.decide(
        "vae",
        Reason(
            "likelihood",
            f"{mixtures} discretised logistics a pixel",
            f"pixels are integers of {levels} levels, and so bits per dim can be compared",
        ),
        likelihood={"kind": "discretized_logistic", "levels": levels, "num_mixtures": mixtures},
    )


_BERNOULLI = {"kind": "bernoulli"}


def _decide_networks(draft: Draft, seen: Description) -> None:
    longer = max(draft.size)
    if longer < _SMALLEST_CONV:
        reason = Reason("networks", "dense layers", f"{longer} pixels are few for convolutions")
        dense = {"kind": "mlp", "hidden": [512, 512], "activation": "silu", "dropout": 0.3}
        draft.decide("vae", reason, encoder=dense, decoder=dict(dense))
        return
    halvings = _halvings(longer)
    # A bundle holds 8 MiB; 96 channels in every layer would exceed it for large pictures.
    widest = 96 if longer <= LARGE_SIDE else 64
    wide = [min(width, widest) for width in _ENCODER_WIDTHS[:halvings]]
    narrow = [min(width, widest) for width in _DECODER_WIDTHS[:halvings]]
    encoder: dict[str, Any] = {"kind": "conv", "channels": wide}
    decoder: dict[str, Any] = {"kind": "conv", "channels": narrow}
    dropout = 0.1 if seen.facts.count >= ENOUGH else 0.2
    reason = Reason(
        "networks",
        f"convolutions that halve {halvings} times",
        f"{longer} pixels become {ceil(longer / 2**halvings)}, few enough for a dense layer",
    )
    blocks = [1] * halvings
    encoder |= {"blocks": blocks, "dropout": dropout}
    draft.decide("vae", reason, encoder=encoder, decoder=decoder | {"blocks": [2, *blocks[1:]]})


def _halvings(longer: int) -> int:
    """How often a side is halved until few pixels are left."""
    return min(len(_ENCODER_WIDTHS), max(1, ceil(log2(longer / _DEEPEST_SIDE))))


def _decide_latents(draft: Draft, seen: Description) -> None:
    height, width = draft.size
    values, count = draft.number("image", "channels") * height * width, seen.facts.count
    described = next(latents for limit, latents in _LATENTS if values <= limit)
    learnt = next(latents for fewest, latents in _LEARNT_LATENTS if count >= fewest)
    if learnt < described:
        because = f"{count:,} pictures are too few to learn more ways in which pictures differ"
    else:
        because = f"a picture holds {values:,} values, and latents that are not needed cost nothing"
    latents = min(described, learnt)
    draft.decide("vae", Reason("latents", str(latents), because), latent_shape=[latents])


def _decide_labels(draft: Draft, seen: Description) -> None:
    """A model with labels and a classifier, where every class has enough pictures."""
    found, kind = seen.classes, draft.get("objective", "kind")
    if found is None or draft.get("vae", "num_labels") == 0 or kind not in (None, "m2"):
        return
    if found.unused_because:
        draft.decide("vae", Reason("labels", "not used", found.unused_because), num_labels=0)
        return
    longer = max(draft.size)
    classifier: dict[str, Any] = {"kind": "mlp", "hidden": [256], "dropout": 0.3}
    if longer >= _SMALLEST_CONV:
        widths = list(_CLASSIFIER_WIDTHS[: _halvings(longer)])
        classifier = {"kind": "conv", "channels": widths, "blocks": [0] * len(widths)}
        classifier["dropout"] = 0.3
    reason = Reason(
        "labels",
        f"{found.count} classes, by objective m2",
        f"each has at least {found.fewest:,} training pictures, enough to name a picture's class "
        "and to draw samples of one",
    )
    draft.decide("vae", reason, num_labels=found.count, classifier=classifier)
    draft.fill({"objective": {"kind": "m2"}})


def _decide_prior(draft: Draft, seen: Description) -> None:
    """A mixture for few pictures; the KL to it has no closed form, so it is sampled."""
    if draft.get("vae", "num_labels"):
        because = "pictures of a class are alike"
        reason = Reason("prior", "a normal for each class", because)
        draft.decide("vae", reason, prior={"kind": "label_normal"})
    elif seen.facts.count >= ENOUGH:
        because = f"{seen.facts.count:,} pictures fill it, and latents can be moved along freely"
        reason = Reason("prior", "standard normal", because)
        draft.decide("vae", reason, prior={"kind": "standard_normal"})
    else:
        because = f"{seen.facts.count:,} pictures would leave most of a standard normal empty"
        reason = Reason("prior", f"a mixture of {_COMPONENTS} normals", because)
        draft.decide("vae", reason, prior={"kind": "mixture", "num_components": _COMPONENTS})
    draft.fill({"objective": {"kind": "elbo"}})
    if draft.get("vae", "prior", "kind") in ("mixture", "vamp"):
        draft.fill({"objective": {"kind": "elbo", "kl": "sampled"}})


# Training


def _decide_epochs(draft: Draft, seen: Description) -> None:
    count, (height, width) = seen.facts.count, draft.size
    affordable = PIXEL_BUDGET / (count * height * width)
    epochs = max(1, round(min(MAX_EPOCHS, affordable)))
    if affordable > MAX_EPOCHS:
        because = f"more would only repeat {count:,} pictures"
    else:
        because = f"{count:,} pictures of {width}x{height} then take an hour or two on a CPU"
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
    elif who := _main_size(seen)[1]:
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
    *(_decide_colour, _decide_size, _decide_fit),
    *(_decide_likelihood, _decide_networks, _decide_latents, _decide_labels, _decide_prior),
    *(_decide_epochs, _decide_steps, _decide_mirroring, _decide_crops),
)
