"""examples.json: pictures kept as the model takes them; optional, refused where damaged."""

import base64

import numpy as np
import pytest

from models.bundle.examples import EXAMPLES, Examples
from models.bundle.loading import load_bundle
from models.errors import BundleVersionUnsupported
from models.images.reading import read_images
from models.images.spec import ImageSpec
from models.images.writing import to_png, to_uint8, to_unit
from tests.models.bundle_cases import edit_json, refused, save, tiny_vae

SPECS = {
    "binary": ImageSpec(channels=1, height=3, width=2, levels=2, binarization="stochastic"),
    "few levels": ImageSpec(channels=1, height=3, width=2, levels=17),
    "colour": ImageSpec(channels=3, height=3, width=2),
    "unit": ImageSpec(channels=1, height=3, width=2, values="unit"),
    "deep": ImageSpec(channels=3, height=3, width=2, levels=65536, values="unit"),
}


def observations(spec: ImageSpec, count: int = 5) -> np.ndarray:
    levels = np.random.default_rng(0).integers(0, spec.levels, (count, *spec.shape))
    levels.flat[:2] = 0, spec.levels - 1
    scale = 1 if spec.values == "integer" else spec.levels - 1
    return (levels / scale).astype(np.float32)


def examples_of(spec: ImageSpec) -> Examples:
    labels = ("square", None, "square", "circle", None)
    return Examples.of(observations(spec), spec, labels=labels, source="Squares. Licence: MIT.")


@pytest.mark.parametrize("name", SPECS)
def test_pictures_come_back_as_they_were(name):
    spec, x = SPECS[name], observations(SPECS[name])
    pictures = examples_of(spec).pictures(spec)
    assert np.array_equal(pictures, to_unit(x, spec))
    assert pictures.dtype == np.float32
    if spec.levels <= 256:  # a PNG of one is the same observation again
        read = [read_images(to_png(picture), spec).x for picture in to_uint8(pictures)]
        assert np.array_equal(np.concatenate(read), x)


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "tiny" / "1"
    spec = ImageSpec(channels=1, height=2, width=2, values="unit")
    save(path, tiny_vae(), examples=examples_of(spec))
    return path


def test_a_bundle_keeps_its_examples(bundle):
    spec = ImageSpec(channels=1, height=2, width=2, values="unit")
    assert load_bundle(bundle).examples == examples_of(spec)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"levels": "?"}, "levels is not the base64 of 5 x 1 x 2 x 2 levels"),
        ({"levels": base64.b64encode(bytes(19)).decode()}, "of 5 x 1 x 2 x 2 levels"),
        ({"labels": []}, "labels"),
        ({"source": ""}, "source"),
    ],
)
def test_what_does_not_fit_is_refused(bundle, change, words):
    edit_json(bundle, EXAMPLES, lambda content: content.update(change))
    error = BundleVersionUnsupported if "format_version" in change else None
    refused(bundle, words, **({"error": error} if error else {}))


def test_levels_beyond_the_models_are_refused():
    few = SPECS["few levels"]
    with pytest.raises(ValueError, match=r"levels 0\.\.16"):
        examples_of(ImageSpec(channels=1, height=3, width=2)).pictures(few)
