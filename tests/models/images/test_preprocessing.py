"""The steps of preprocessing: words for people, and objects for programs."""

import numpy as np
import pytest
from PIL import Image

from models.images import ImageSpec, Observation, ReadOptions, read_images, read_picture
from tests.models.images.picture_files import file_of, with_chunk

GREY = ImageSpec(channels=1, height=4, width=4)
SQUARE = np.zeros((4, 4), np.uint8)


def spec_of(**fields: object) -> ImageSpec:
    return ImageSpec(**{"channels": 1, "height": 4, "width": 4, **fields})


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(SQUARE, exif=exif)


def said(observation: Observation) -> dict[str, tuple[str | None, ...]]:
    """The `from`, `to` and `how` of each step, by its words and its `op`."""
    return {
        f"{words} | {step.op}": tuple(step.to_json()[name] for name in ("from", "to", "how"))
        for words, step in zip(observation.preprocessing, observation.steps, strict=True)
    }


FILES = {
    "exif-orientation 6 | orient": (turned(6), GREY, ("6", "1", None)),
    "exif damaged, ignored | ignore-exif": (
        with_chunk(file_of(SQUARE), b"eXIf", b"rubbish"),
        GREY,
        (None, None, None),
    ),
    "alpha on 9 | alpha": (
        file_of(np.zeros((4, 4, 4), np.uint8)),
        spec_of(channels=3, background=9),
        (None, None, "on 9"),
    ),
}
ARRAYS = {
    "invert | invert": (SQUARE, GREY, {"invert": True}, (None, None, None)),
    "grey rec601 | grey": (np.zeros((4, 4, 3), "u1"), GREY, {}, ("RGB", "grey", "rec601")),
    "repeat grey to RGB | repeat": (SQUARE, spec_of(channels=3), {}, ("grey", "RGB", None)),
    "resize stretch bilinear 6x5 to 4x4 | resize": (
        np.zeros((5, 6), "u1"),
        GREY,
        {},
        ("6x5", "4x4", "stretch bilinear"),
    ),
    "resize pad box 8x4 to 4x4 on 7 | resize": (
        np.zeros((4, 8), "u1"),
        spec_of(fit="pad", resample="box", background=7),
        {},
        ("8x4", "4x4", "pad box on 7"),
    ),
    "crop 6x4 to 4x4 | crop": (
        np.zeros((4, 6), "u1"),
        spec_of(fit="crop"),
        {},
        ("6x4", "4x4", None),
    ),
    "pad 2x4 to 4x4 on 0 | pad": (
        np.zeros((4, 2), "u1"),
        spec_of(fit="pad"),
        {},
        ("2x4", "4x4", "on 0"),
    ),
    "centre +0 right +0 down | centre": (
        SQUARE,
        GREY,
        {"centre": True},
        (None, None, "+0 right +0 down"),
    ),
    "levels 17 | levels": (SQUARE, spec_of(levels=17), {}, ("256", "17", None)),
    "levels 256 | levels": (SQUARE / 255, GREY, {}, (None, "256", None)),
    "binarize stochastic | binarize": (
        SQUARE,
        spec_of(levels=2, binarization="stochastic"),
        {},
        ("256", "2", "stochastic"),
    ),
    "binarize threshold | binarize": (
        SQUARE,
        spec_of(levels=2, binarization="stochastic"),
        {"binarize": "threshold"},
        ("256", "2", "threshold"),
    ),
}


@pytest.mark.parametrize("words", FILES)
def test_what_was_done_to_a_file_is_said_in_words_and_as_an_object(words):
    data, spec, expected = FILES[words]
    assert said(read_picture(data, spec)) == {words: expected}


@pytest.mark.parametrize("words", ARRAYS)
def test_what_was_done_to_an_array_is_said_in_words_and_as_an_object(words):
    array, spec, options, expected = ARRAYS[words]
    (observation,) = read_images(array, spec, options=ReadOptions(**options))
    assert said(observation)[words] == expected


def test_an_object_has_the_members_op_from_to_and_how():
    (observation,) = read_images(np.zeros((5, 6), "u1"), GREY)
    assert [step.to_json() for step in observation.steps] == [
        {"op": "resize", "from": "6x5", "to": "4x4", "how": "stretch bilinear"}
    ]
