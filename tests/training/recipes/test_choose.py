"""A recipe chosen for pictures: its length and the rest, its reasons, what `--set` makes of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import ConfigError
from tests.training.recipes.conftest import FEW, GREY, MIXED, reasons, seen, shape
from training.data.datasets import load
from training.recipes.asked import MAX_EPOCHS, Asked, known_purpose
from training.recipes.choose import choose_recipe, fast_precision
from training.recipes.file import load_recipe, to_toml


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


def test_an_unknown_purpose_is_refused_with_the_nearest_one():
    with pytest.raises(
        ConfigError, match=r"Did you mean 'samples'\? Allowed: density, .*--for sam"
    ):
        known_purpose("sample")
    with pytest.raises(
        ConfigError, match=r"is not allowed\. Allowed: density, .*Use --for density"
    ):
        known_purpose("xyz")
