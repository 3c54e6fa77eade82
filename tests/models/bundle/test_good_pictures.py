"""good_pictures.json: kept as it is, optional, and refused by name where it is damaged."""

import json

import pytest

from models.bundle.good_pictures import GOOD_PICTURES, FalseAlarms, GoodPictures
from models.bundle.loading import load_bundle
from models.bundle.reading import read_description
from models.errors import BundleCorrupt, BundleVersionUnsupported, ConfigError
from models.scores.kinds import AnomalyKind
from tests.models.bundle_cases import TINY, config_of, edit_json, refused, save, tiny_vae

KINDS = AnomalyKind.__args__
GOOD = GoodPictures(
    dataset="squares",
    split="test",
    seed=0,
    num_samples=16,
    code_version=1,
    elbo_median_nats=-3.0,
    sharpness_median=0.5,
    latent_mean=(0.25,),
    latent_factor=((2.0,),),
    fitted=dict.fromkeys(KINDS, (1.0, 2.0)),
    held_out=dict.fromkeys(KINDS, (0.5, 1.5, 2.5)),
    evidence=(1.0, 2.0, 3.0),
    false_alarms=(FalseAlarms(alpha=0.25, n=4, count=1),),
)


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "tiny" / "1"
    save(path, tiny_vae(), good_pictures=GOOD)
    return path


def test_a_bundle_keeps_its_good_pictures(bundle, tmp_path):
    assert load_bundle(bundle).good_pictures == GOOD
    assert read_description(bundle).has_good_pictures
    lines = (bundle / GOOD_PICTURES).read_text().splitlines()
    assert len(lines) == 2 + len(GoodPictures.model_fields)  # not a line for each number
    without = tmp_path / "other" / "1"
    save(without, tiny_vae(), config=config_of(TINY, name="other"))
    assert load_bundle(without).good_pictures is None
    assert not read_description(without).has_good_pictures


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"evidence": [2.0, 1.0, 3.0]}, "not ascending"),
        ({"evidence": []}, "must have as many"),
        ({"held_out": {kind: [1.0] for kind in KINDS}}, "must have as many"),
        ({"fitted": {"typicality": [1.0]}}, "fitted lacks complexity"),
        ({"latent_factor": [[1.0], [1.0]]}, "1 or 1 rows"),
        ({"latent_mean": [0.0, 1.0], "latent_factor": [[1.0, 1.0]]}, "of a model of 2 latents"),
    ],
)
def test_what_does_not_fit_is_refused(bundle, change, words):
    edit_json(bundle, GOOD_PICTURES, lambda content: content.update(change))
    error = BundleVersionUnsupported if "format_version" in change else BundleCorrupt
    refused(bundle, words, error=error)


def test_the_fields_are_checked_when_they_are_made():
    with pytest.raises((ConfigError, ValueError), match="ascending"):
        GoodPictures.model_validate({**json.loads(GOOD.model_dump_json()), "evidence": [3, 2, 1]})
