"""A recipe chosen for pictures: what is chosen, why, and what `--set` makes of it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import ConfigError
from models.vae.model import VAE
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset, load
from training.data.image_statistics import ImageStatistics
from training.export.export import MAX_BUNDLE_BYTES
from training.recipes import choose as chooser
from training.recipes import choose_image
from training.recipes.asked import MAX_EPOCHS, PIXELS_A_SECOND, Asked, known_purpose
from training.recipes.choose import ChosenRecipe, choose_recipe, fast_precision
from training.recipes.classes import Classes
from training.recipes.describe import Description
from training.recipes.file import load_recipe, to_toml

GREY = Description(
    facts=ImageStatistics(
        Counter({(28, 28): 5000}), Counter({"grey": 5000}), 0, np.ones(256, bool), 1, 0, 0
    ),
    has_plain_border=False,
    background=0,
    mirror_ratio=9.0,
)
BLACK_AND_WHITE = np.isin(np.arange(256), (0, 255))


def seen(*, sizes: dict[tuple[int, int], int] | None = None, **changes) -> Description:
    """A description like `GREY` but for these facts and measures."""
    facts = {"sizes": Counter(sizes)} if sizes else {}
    for name in ("num_colour", "used"):
        if name in changes:
            facts[name] = changes.pop(name)
    return replace(GREY, facts=replace(GREY.facts, **facts), **changes)


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


def shape(chosen: ChosenRecipe) -> tuple[int, int, int]:
    return chosen.recipe.image.shape


MIXED = {(100, 100): 1500, (300, 200): 1200, (480, 640): 1300}
FEW = {size: count // 10 for size, count in MIXED.items()}
WIDE = {(90, 120): 1500, (480, 640): 1200, (960, 1280): 300}


@pytest.mark.parametrize(
    ("sizes", "colour", "expected"),
    [
        ({(28, 20): 500}, False, (1, 28, 20)),
        ({(64, 64): 500}, True, (3, 64, 64)),
        ({(65, 65): 500}, False, (1, 65, 65)),
        ({(112, 92): 400}, False, (1, 112, 92)),
        ({(65, 65): 50_000}, False, (1, 28, 28)),
        ({(129, 129): 500}, False, (1, 128, 128)),
        (MIXED, True, (3, 64, 64)),
        (FEW, True, (3, 128, 128)),
        ({(30, 30): 3000, (40, 50): 2500}, False, (1, 28, 28)),
        (WIDE, True, (3, 48, 64)),
        ({(height, width): 90 for width, height in WIDE}, True, (3, 128, 96)),
    ],
)
def test_size_and_colour_follow_from_sizes_count_and_colour(chosen, sizes, colour, expected):
    description = seen(sizes=sizes, num_colour=sum(sizes.values()) if colour else 0)
    assert shape(chosen(description)) == expected


def test_a_few_coloured_pictures_among_grey_ones_do_not_make_the_model_rgb(chosen):
    assert shape(chosen(seen(num_colour=499)))[0] == 1
    assert shape(chosen(seen(num_colour=500)))[0] == 3


def reasons(chosen: ChosenRecipe) -> dict[str, str]:
    return {one.subject: str(one) for why in chosen.reasons.values() for one in why}


@pytest.mark.parametrize(
    ("sizes", "side", "words"),
    [
        ({(100, 100): 1659, (90, 90): 2, (101, 100): 1}, 100, "1,659 of 1,662 pictures have it"),
        ({(200, 200): 1659, (90, 90): 3}, 128, "1,659 of 1,662 pictures are 200x200, the longer"),
        ({(200, 200): 500}, 128, "all pictures are 200x200, the longer side is 200 in the median"),
        ({(40, 40): 1659, (90, 90): 3}, 40, "1,659 of 1,662 pictures have it"),
        ({(40, 40): 500}, 40, "all pictures have it"),
        (
            {(40, 40): 90, (90, 90): 10},
            28,
            "there are 2 sizes, the longer side is 40 in the median",
        ),
        ({(40, 70): 50, (80, 90): 50}, 28, "there are 2 sizes, the shorter side is 60 in the"),
    ],
)
def test_few_strays_do_not_make_the_sizes_many(chosen, sizes, side, words):
    result = chosen(seen(sizes=sizes))
    assert shape(result) == (1, side, side)
    assert f"because {words}" in reasons(result)["size"]


@pytest.mark.parametrize(
    ("sizes", "plain", "why"),
    [
        ({(100, 100): 1659, (90, 90): 3}, False, "1,659 of 1,662 pictures have one size, and may"),
        ({(64, 64): 300}, False, "all pictures have one size, and may be aligned to the pixel"),
        (FEW, True, "pictures on a plain background may be aligned to the pixel"),
        (FEW, False, "400 pictures are few, and of too many sizes to be aligned to the pixel"),
        (MIXED, False, "4,000 pictures are enough without"),
    ],
)
def test_the_reason_for_crops_is_the_true_one(chosen, sizes, plain, why):
    result = chosen(seen(sizes=sizes, has_plain_border=plain))
    assert why in reasons(result)["random crops"]
    assert (result.recipe.augmentation.crop_pixels > 0) == ("too many sizes" in why)


@pytest.mark.parametrize(
    ("num_colour", "words"),
    [
        (0, "grey, because no picture has colour."),
        (1, "grey, because 1 of 5,000 pictures have colour."),
        (499, "grey, because 499 of 5,000 pictures have colour."),
        (500, "RGB, because 500 of 5,000 pictures have colour."),
        (5000, "RGB, because all pictures have colour."),
    ],
)
def test_the_reason_for_colour_is_a_count(chosen, num_colour, words):
    assert reasons(chosen(seen(num_colour=num_colour)))["colour"] == f"colour: {words}"


@pytest.mark.parametrize(
    ("sizes", "plain", "fit"),
    [
        ({(90, 120): 300, (100, 130): 300}, False, "stretch"),
        (MIXED, False, "crop"),
        (MIXED, True, "pad"),
        ({(50, 200): 300, (200, 50): 300}, False, "pad"),
        ({(28, 28): 300}, False, "crop"),
    ],
)
def test_the_fit_follows_from_shapes_and_borders(chosen, sizes, plain, fit):
    image = chosen(seen(sizes=sizes, has_plain_border=plain, background=255)).recipe.image
    assert (image.fit, image.background) == (fit, 255)


def test_black_and_white_pictures_of_the_models_size_get_a_bernoulli(chosen):
    recipe = chosen(seen(used=BLACK_AND_WHITE)).recipe
    assert recipe.vae.likelihood.kind == "bernoulli"
    assert (recipe.image.levels, recipe.image.binarization) == (2, "threshold")


def test_black_and_white_pictures_that_are_resized_are_grey(chosen):
    recipe = chosen(seen(sizes={(100, 100): 5000}, used=BLACK_AND_WHITE)).recipe
    assert recipe.vae.likelihood.kind == "discretized_logistic"
    assert recipe.image.levels == 256


def test_levels_are_those_of_the_data_unless_pictures_are_resized(chosen):
    assert chosen(seen(used=np.ones(17, bool))).recipe.image.levels == 17
    resized = seen(sizes={(100, 100): 5000}, used=np.ones(17, bool))
    assert chosen(resized).recipe.image.levels == 256


@pytest.mark.parametrize("side", [1, 5, 8, 9, 20, 28, 32, 48, 64, 96, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_suit_any_size_and_fit_into_a_bundle(chosen, side, channels):
    vae = chosen(GREY, f"image.height={side}", f"image.channels={channels}").recipe.vae
    assert vae.encoder.kind == vae.decoder.kind == ("conv" if side > 8 else "mlp")
    if side > 8:
        assert 2 <= -(-side // 2 ** len(vae.encoder.channels)) <= 7
    num_bytes = 4 * sum(parameter.numel() for parameter in VAE(vae).parameters())
    assert num_bytes < MAX_BUNDLE_BYTES - 2**19


def test_few_pictures_get_a_mixture_for_a_prior_and_many_a_standard_normal(chosen):
    few, many = chosen(seen(sizes={(28, 28): 300})).recipe, chosen(GREY).recipe
    assert (few.vae.prior.kind, few.objective.kl) == ("mixture", "sampled")
    assert (many.vae.prior.kind, many.objective.kl) == ("standard_normal", "analytic")
    asked = chosen(seen(sizes={(28, 28): 300}), "vae.prior.kind=standard_normal").recipe
    assert (asked.vae.prior.kind, asked.objective.kl) == ("standard_normal", "analytic")


@pytest.mark.parametrize(
    ("count", "minutes", "side"),
    [(1_500, None, 128), (3_000, None, 64), (300, 8.0, 64), (300, 60.0, 128), (5_000, 5.0, 32)],
)
def test_larger_pictures_are_chosen_where_the_time_allows_enough_epochs(
    chosen, count, minutes, side
):
    description = seen(sizes={(300, 300): count}, num_colour=count)
    result = chosen(description, minutes=minutes)
    assert shape(result) == (3, side, side)
    seconds = 3600 if minutes is None else 60 * minutes
    enough = choose_image.ENOUGH_EPOCHS * count * side**2 <= seconds * PIXELS_A_SECOND["cpu"]
    assert enough or side == 32


def test_a_gpu_allows_larger_pictures_than_a_cpu(chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "T4")
    description = seen(sizes={(300, 300): 5_000})
    assert shape(chosen(description, device="cpu")) == (1, 64, 64)
    assert shape(chosen(description, device="cuda")) == (1, 128, 128)


def test_the_reason_for_a_size_says_what_it_costs_and_what_a_larger_one_would(chosen):
    result = chosen(seen(sizes={(300, 300): 300}), minutes=8.0)
    assert reasons(result)["size"] == (
        "size: 64x64, because all pictures are 300x300, the longer side is 300 in the median, "
        "128 pixels would leave time for 49 epochs only, and 195 epochs of 300 pictures then take "
        "about 8 minutes on one CPU core."
    )
    asked = reasons(chosen(seen(sizes={(300, 300): 300}), "training.epochs=1", minutes=8.0))
    assert asked["size"].endswith(
        "and 1 epoch of 300 pictures then takes less than a minute on one CPU core."
    )


def test_the_cost_of_a_size_is_in_hours_where_it_takes_long():
    for minutes, words in [
        (0.5, "less than a minute"),
        (1.0, "about 1 minute"),
        (89.0, "about 89"),
    ]:
        assert Asked().say_time(round(minutes * 60 * 0.5e6)).startswith(words)
    assert Asked(device="cuda").say_time(round(180 * 60 * 5e6)) == "about 3 hours on a GPU"


def test_minutes_shorten_no_recipe_since_a_plan_does_that(chosen):
    description = seen(sizes={(28, 28): 20_000})
    usual = chosen(description).recipe.training.epochs
    assert chosen(description, minutes=1.0).recipe.training.epochs == usual
    assert chosen(description, minutes=120.0).recipe.training.epochs == 2 * usual


@pytest.mark.parametrize(
    ("sizes", "size", "expected"),
    [
        ({(112, 92): 400}, 64, (64, 53)),
        ({(28, 20): 400}, 56, (56, 40)),
        (WIDE, 48, (36, 48)),
        (MIXED, 100, (100, 100)),
        ({(1, 500): 400}, 10, (1, 10)),
    ],
)
def test_the_size_that_is_asked_for_is_the_longer_side_in_the_pictures_shape(
    chosen, sizes, size, expected
):
    result = chosen(seen(sizes=sizes), size=size)
    assert shape(result)[1:] == expected
    assert f"because the longer side is to be {size}, and" in reasons(result)["size"]


def test_a_size_that_is_asked_for_twice_is_refused(chosen):
    for side in ("image.height=32", "image.width=32"):
        with pytest.raises(ConfigError, match=rf"--size 64 and --set {side} both set the size\."):
            chosen(GREY, side, size=64)


@pytest.mark.parametrize("count", [40, 1_000, 20_000, 1_000_000])
@pytest.mark.parametrize("side", [28, 64])
def test_a_run_reads_no_more_pixels_than_an_hour_allows(chosen, count, side):
    training = chosen(seen(sizes={(side, side): count})).recipe.training
    read = training.epochs * count * side**2
    one_epoch = count * side**2
    assert read <= max(1.01 * Asked().pixels + one_epoch / 2, one_epoch)
    assert training.epochs <= MAX_EPOCHS
    assert 0 < training.ema_decay <= 0.999
    assert training.patience > 0


@pytest.mark.parametrize(
    ("colour", "ratio", "flip"),
    [(True, 1.2, "horizontal"), (True, 1.6, "none"), (False, 1.0, "none")],
)
def test_only_colour_pictures_that_know_no_side_are_mirrored(chosen, colour, ratio, flip):
    description = seen(num_colour=5000 * colour, mirror_ratio=ratio)
    augmentation = chosen(description).recipe.augmentation
    assert (augmentation.flip, augmentation.crop_pixels) == (flip, 0)


@pytest.mark.parametrize(
    ("sizes", "plain", "pixels"),
    [(FEW, False, 12), (FEW, True, 0), (MIXED, False, 0), ({(64, 64): 300}, False, 0)],
)
def test_only_few_pictures_of_many_sizes_that_fill_their_frame_are_cropped_at_random(
    chosen, sizes, plain, pixels
):
    augmentation = chosen(seen(sizes=sizes, has_plain_border=plain)).recipe.augmentation
    assert (augmentation.crop_pixels, augmentation.probability) == (pixels, float(pixels > 0))


def test_crops_and_their_probability_agree_whichever_is_asked_for(chosen):
    few = seen(sizes=FEW)
    assert chosen(few, "augmentation.probability=0").recipe.augmentation.crop_pixels == 0
    assert chosen(few, "augmentation.probability=0.5").recipe.augmentation.crop_pixels == 12
    assert chosen(GREY, "augmentation.crop_pixels=3").recipe.augmentation.probability == 1


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["image.height=64"], (1, 64, 64)),
        (["image.width=12", "image.channels=3"], (3, 12, 12)),
        (["image.height=40", "image.width=30"], (1, 40, 30)),
    ],
)
def test_a_size_that_is_asked_for_brings_what_suits_it(chosen, overrides, expected):
    plain, asked = chosen(GREY).recipe, chosen(GREY, *overrides).recipe
    assert asked.image.shape == asked.vae.image_shape == expected
    if expected[1] == 64:
        assert len(asked.vae.decoder.channels) > len(plain.vae.decoder.channels)
        assert asked.training.epochs < plain.training.epochs


def test_one_side_alone_keeps_the_pictures_shape(chosen):
    assert shape(chosen(seen(sizes={(28, 20): 500}), "image.width=40")) == (1, 56, 40)
    assert shape(chosen(seen(sizes={(28, 20): 500}), "image.height=42")) == (1, 42, 30)


@pytest.mark.parametrize(
    ("override", "likelihood", "levels", "values", "binarization"),
    [
        ("image.levels=2", "bernoulli", 2, "integer", "stochastic"),
        ("image.binarization=threshold", "bernoulli", 2, "integer", "threshold"),
        ("vae.likelihood.kind=bernoulli", "bernoulli", 2, "integer", "stochastic"),
        ("image.levels=32", "discretized_logistic", 32, "integer", "none"),
        ("vae.likelihood.levels=16", "discretized_logistic", 16, "integer", "none"),
        ("vae.likelihood.kind=discretized_normal", "discretized_normal", 256, "integer", "none"),
        ("vae.likelihood.kind=normal", "normal", 256, "unit", "none"),
        ("vae.likelihood.kind=continuous_bernoulli", "continuous_bernoulli", 256, "unit", "none"),
    ],
)
def test_levels_and_likelihood_agree_whichever_is_asked_for(
    chosen, override, likelihood, levels, values, binarization
):
    recipe = chosen(GREY, override).recipe
    image = recipe.image
    assert recipe.vae.likelihood.kind == likelihood
    assert (image.levels, image.values, image.binarization) == (levels, values, binarization)


def test_black_and_white_pictures_may_be_asked_to_be_grey(chosen):
    description = seen(used=BLACK_AND_WHITE)
    recipe = chosen(description, "vae.likelihood.kind=discretized_logistic").recipe
    assert recipe.image.levels == recipe.vae.likelihood.levels == 256


def test_what_is_asked_for_is_kept_and_needs_no_reason(chosen):
    result = chosen(
        GREY,
        "name=mine",
        "vae.latent_shape=[7]",
        "vae.encoder.dropout=0.4",
        "training.epochs=3",
        "training.batch_size=10",
        "training.precision=32-true",
    )
    recipe = result.recipe
    assert (recipe.name, recipe.vae.latent_shape, recipe.training.epochs) == ("mine", (7,), 3)
    assert (recipe.vae.encoder.kind, recipe.vae.encoder.dropout) == ("conv", 0.4)
    assert recipe.training.kl_warmup_epochs == 0.3
    subjects = {reason.subject for reasons in result.reasons.values() for reason in reasons}
    assert "networks" in subjects
    assert subjects.isdisjoint({"latents", "epochs", "batch size", "precision"})


def test_networks_of_another_kind_bring_their_own_entries(chosen):
    vae = chosen(GREY, "vae.encoder.kind=mlp", "vae.decoder.kind=mlp").recipe.vae
    assert vae.encoder.hidden == vae.decoder.hidden == (300, 300)


@pytest.mark.parametrize(("count", "latents"), [(200, 16), (1_000, 32), (5_000, 40)])
def test_few_pictures_get_few_latents(chosen, count, latents):
    assert chosen(seen(sizes={(28, 28): count})).recipe.vae.latent_shape == (latents,)


@pytest.mark.parametrize("kind", ["mixture", "vamp"])
def test_a_prior_that_is_a_mixture_has_its_kl_sampled(chosen, kind):
    objective = chosen(GREY, f"vae.prior.kind={kind}").recipe.objective
    assert (objective.kind, objective.kl) == ("elbo", "sampled")
    assert chosen(GREY, "objective.num_samples=3").recipe.objective.num_samples == 3


def test_only_what_has_a_kl_term_is_warmed_up(chosen):
    assert chosen(GREY, "objective.kind=iwae").recipe.training.kl_warmup_epochs > 0
    recipe = chosen(GREY, "objective.kind=iwae", "objective.gradient=dreg").recipe
    assert recipe.training.kl_warmup_epochs == 0


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("image.height=tall", r"image\.height = 'tall' is not allowed. Allowed: whole number > 0"),
        ("training.epochs=0", r"training\.epochs = 0 is not allowed. Allowed: whole number > 0"),
        ("image.channels=2", r"^image\.channels = 2 is not allowed\. .*Allowed: 1, 3"),
        ("image.hight=3", r"no entry image\.hight\. Did you mean image\.height\?"),
        ("image.levels=32 levels", r"image\.levels = '32 levels' is not allowed"),
        ("vae.latent_shape=7", r"vae\.latent_shape = 7 is not allowed"),
        ("nothing", r"--set nothing: has no =\."),
    ],
)
def test_an_override_that_does_not_fit_is_refused(chosen, override, word):
    with pytest.raises(ConfigError, match=word):
        chosen(GREY, override)


def test_every_reason_is_one_sentence_and_stands_in_the_stored_recipe(chosen, tmp_path: Path):
    result = chosen(GREY)
    sentences = [str(reason) for reasons in result.reasons.values() for reason in reasons]
    assert len(sentences) >= 10
    assert all(", because " in s and s.endswith(".") and "\n" not in s for s in sentences)
    comments = {table: [*map(str, why)] for table, why in result.reasons.items()}
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(result.recipe, comments=comments))
    assert all(f"# {sentence}\n" in path.read_text() for sentence in sentences)
    assert load_recipe(path) == result.recipe


def test_a_value_where_a_table_is_expected_is_refused_before_anything_is_chosen():
    dataset = load("digits")
    for override in ("image=3", "vae=3", "training=", "objective=elbo"):
        with pytest.raises(ConfigError, match=r"is not allowed\. Allowed: a table\. Set an entry"):
            choose_recipe(dataset, source="digits", overrides=[override])


def test_precision_is_mixed_only_where_bfloat16_is_computed_in_hardware(monkeypatch):
    for found, precision in [
        ({"amx_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed"),
        ({"avx2": True}, "32-true"),
    ]:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert fast_precision("cpu")[0] == precision
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fast_precision("cpu")[0] == "32-true"


@pytest.mark.parametrize("known", [True, False])
def test_a_gpu_is_asked_for_bfloat16(monkeypatch, known):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: known)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "T4")
    precision, because = fast_precision("cuda")
    assert precision == ("bf16-mixed" if known else "32-true")
    assert "T4" in because


def test_a_folder_of_mixed_pictures_gets_a_recipe(tmp_path: Path):
    rng = np.random.default_rng(0)
    for index in range(30):
        height, width = rng.integers(70, 90, 2)
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    result = choose_recipe(load(str(tmp_path)), source=str(tmp_path))
    assert shape(result) == (3, 64, 64)
    assert result.recipe.dataset.name == str(tmp_path)


@pytest.mark.parametrize(
    ("purpose", "likelihood", "prior", "beta"),
    [
        (None, "discretized_logistic", "standard_normal", 1.0),
        ("density", "discretized_logistic", "standard_normal", 1.0),
        ("anomaly", "discretized_logistic", "standard_normal", 1.0),
        ("samples", "discretized_logistic", "mixture", 1.0),
        ("embeddings", "discretized_normal", "standard_normal", 1.0),
        ("reconstruction", "discretized_normal", "standard_normal", 0.3),
    ],
)
def test_likelihood_prior_and_beta_suit_what_the_model_is_for(
    chosen, purpose, likelihood, prior, beta
):
    recipe = chosen(GREY, purpose=purpose).recipe
    assert (recipe.vae.likelihood.kind, recipe.vae.prior.kind) == (likelihood, prior)
    assert recipe.objective.beta == beta
    if likelihood == "discretized_normal":
        assert recipe.vae.likelihood.scale == "learned"


def test_a_purpose_gives_its_reasons_and_overrules_no_entry(chosen):
    told = reasons(chosen(GREY, purpose="reconstruction"))
    assert "one scale for all pixels, because the decoder cannot" in told["likelihood"]
    assert "0.3, because latents that cost less" in told["weight of the KL"]
    assert "a high one is no proof" in reasons(chosen(GREY, purpose="anomaly"))["likelihood"]
    assert "samples are drawn there" in reasons(chosen(GREY, purpose="samples"))["prior"]
    kept = chosen(GREY, "objective.beta=2.0", "image.levels=2", purpose="reconstruction").recipe
    assert (kept.objective.beta, kept.vae.likelihood.kind) == (2.0, "bernoulli")


def test_latents_that_are_to_hold_everything_are_not_relieved_of_the_class(chosen):
    described = seen(classes=None)
    for purpose, labels in [("embeddings", 0), ("reconstruction", 0), ("samples", 10)]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                chooser, "find_classes", lambda dataset: Classes(10, 300, (0.1,) * 10, "")
            )
            assert chosen(described, purpose=purpose).recipe.vae.num_labels == labels
            assert chosen(described, "vae.num_labels=10", purpose=purpose).recipe.vae.num_labels


def test_an_unknown_purpose_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"Did you mean 'samples'\? Allowed: density, .*--for sam"
    ):
        known_purpose("sample")
    with pytest.raises(
        ConfigError, match=r"is not allowed\. Allowed: density, .*Use --for density"
    ):
        known_purpose("xyz")
