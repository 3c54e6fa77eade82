"""What is chosen for the model's pictures: colour, size and fit, with the reasons."""

import pytest
import torch

from models.errors import ConfigError
from tests.training.recipes.conftest import FEW, GREY, MIXED, WIDE, reasons, seen, shape
from training.recipes import asked as asked_for
from training.recipes import choose_image
from training.recipes.asked import PIXELS_A_SECOND, kind_of_cpu


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


def test_a_core_with_avx2_alone_allows_smaller_ones(chosen, monkeypatch):
    description = seen(sizes={(300, 300): 1_500}, num_colour=1_500)
    assert shape(chosen(description)) == (3, 128, 128)
    monkeypatch.setattr(asked_for, "kind_of_cpu", lambda: "avx2")
    assert shape(chosen(description)) == (3, 64, 64)
    assert PIXELS_A_SECOND["avx2"] < PIXELS_A_SECOND["cpu"] < PIXELS_A_SECOND["cuda"]


@pytest.mark.parametrize(
    ("capability", "kind"), [("AVX512", "cpu"), ("AVX2", "avx2"), ("DEFAULT", "cpu")]
)
def test_the_kind_of_a_core_is_told_by_its_instructions(monkeypatch, capability, kind):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert kind_of_cpu() == kind


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


def test_one_side_alone_keeps_the_pictures_shape(chosen):
    assert shape(chosen(seen(sizes={(28, 20): 500}), "image.width=40")) == (1, 56, 40)
    assert shape(chosen(seen(sizes={(28, 20): 500}), "image.height=42")) == (1, 42, 30)


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
