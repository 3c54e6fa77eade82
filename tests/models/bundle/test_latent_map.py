"""map.json: kept as it is, optional, refused where it is damaged or of a model without a plane."""

import pytest

from models.bundle.latent_map import MAP, LatentMap, why_no_map
from models.bundle.loading import load_bundle
from models.errors import BundleCorrupt, BundleVersionUnsupported
from models.vae import VAE
from tests.models.bundle_cases import TINY, config_of, edit_json, refused, save
from tests.models.family_cases import family

PLANE = TINY.model_copy(update={"latent_shape": (2,)})
KEPT = LatentMap(
    source="Squares.",
    mean=(0.5, -1.0),
    axes=((1.0, 0.0), (0.0, 1.0)),
    explained=(0.75, 0.25),
    points=((1.5, 0.25), (-1.5, 0.0)),
    labels=(0, None),
    label_names=("square",),
)


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "tiny" / "1"
    save(path, VAE(PLANE).eval(), config=config_of(PLANE), latent_map=KEPT)
    return path


def test_a_bundle_keeps_its_map_on_one_line(bundle):
    assert load_bundle(bundle).latent_map == KEPT
    assert (bundle / MAP).read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"mean": [0.5]}, "mean and axes have 1, 2 numbers"),
        ({"labels": [0]}, "1 labels for 2 points"),
        ({"labels": [0, 1]}, "labels holds 1; there are 1 label_names"),
        ({"points": []}, "points"),
        ({"mean": [0.0], "axes": [[1.0], [1.0]]}, "of a model of 1 latents; this one has 2"),
    ],
)
def test_what_does_not_fit_is_refused(bundle, change, words):
    edit_json(bundle, MAP, lambda content: content.update(change))
    refused(
        bundle,
        words,
        error=BundleVersionUnsupported if "format_version" in change else BundleCorrupt,
    )


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("standard", {}, None),
        ("m2", {}, None),
        ("autoencoder", {}, None),
        ("categorical", {}, "it is a mixture"),
        ("ladder", {}, "in layers"),
        ("standard", {"latent_shape": (1,)}, "one number"),
        ("standard", {"latent_shape": (1001,)}, "1,001 numbers, over the 1,000"),
    ],
)
def test_a_model_without_a_plane_has_no_map(name, fields, reason):
    found = why_no_map(family(name, **fields))
    assert (found is None) == (reason is None)
    assert reason is None or reason in found
