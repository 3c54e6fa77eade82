"""JSON files that do not say what the format says are refused by the field's name."""

import shutil

import pytest

from models.bundle.loading import load_bundle
from models.errors import BundleCorrupt, BundleVersionUnsupported
from tests.models.bundle_cases import EVALUATION, edit_json, refused, remake_manifest


@pytest.mark.parametrize("name", ["config.json", "evaluation.json", "manifest.json"])
def test_an_unknown_field_is_refused(bundle, name):
    edit_json(bundle, name, lambda c: c.update(colour="red"), remake=name != "manifest.json")
    refused(bundle, name, "colour")


@pytest.mark.parametrize("path", [("vae",), ("vae", "encoder"), ("image",), ("provenance",)])
def test_an_unknown_field_inside_is_refused(bundle, path):
    def change(config):
        for part in path:
            config = config[part]
        config["colour"] = "red"

    edit_json(bundle, "config.json", change)
    refused(bundle, "config.json", "colour")


@pytest.mark.parametrize("more", [{}, {"signature": "from the future"}])
def test_a_future_format_version_is_refused_as_such(bundle, more):
    change = {"format_version": 2, **more}
    edit_json(bundle, "manifest.json", lambda m: m.update(change), remake=False)
    refused(bundle, "has format version 2", "reads 1", error=BundleVersionUnsupported)


def test_a_future_config_is_refused_as_such(bundle):
    edit_json(bundle, "config.json", lambda c: c.update(format_version=2, more="fields"))
    refused(
        bundle, "config.json", "has format version 2", "reads 1", error=BundleVersionUnsupported
    )


@pytest.mark.parametrize("value", ["1", 1.5, None, True, [1]])
def test_a_format_version_of_another_type_is_refused(bundle, value):
    edit_json(bundle, "manifest.json", lambda m: m.update(format_version=value), remake=False)
    refused(bundle, "manifest.json")


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("image", "height", "2"),
        ("image", "height", 2.0000001),
        ("image", "levels", True),
        ("provenance", "seed", "1"),
        ("provenance", "epochs", "2"),
        ("provenance", "recipe", 1),
        ("vae", "latent_shape", "1"),
        ("vae", "latent_shape", ["1"]),
    ],
)
def test_a_value_of_another_type_is_refused(bundle, part, field, value):
    edit_json(bundle, "config.json", lambda c: c[part].update({field: value}))
    refused(bundle, "config.json", field)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(bundle, value):
    text = (bundle / "evaluation.json").read_text()
    (bundle / "evaluation.json").write_text(
        text.replace('"rate_nats": 1.0', f'"rate_nats": {value}')
    )
    remake_manifest(bundle)
    refused(bundle, "evaluation.json", "rate_nats")


def test_unsorted_reference_values_are_refused(bundle):
    edit_json(
        bundle, "evaluation.json", lambda e: e["references"][0].update(values_nats=[1.0, 0.0])
    )
    refused(bundle, "evaluation.json", "values_nats is not ascending", "Sort it")


def test_an_image_spec_that_does_not_fit_the_likelihood_is_refused(bundle):
    edit_json(bundle, "config.json", lambda c: c["image"].update(values="integer"))
    refused(bundle, "config.json", "Set image.values = 'unit'")


@pytest.mark.parametrize("place", [("tiny", "2"), ("other", "1"), ("tiny", "01")])
def test_a_bundle_in_another_folder_than_its_config_says_is_refused(bundle, tmp_path, place):
    moved = tmp_path / "moved" / place[0] / place[1]
    shutil.copytree(bundle, moved)
    refused(moved, "tiny/1")


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": {"kind": "mlp", "hidden": [10**6, 10**6]}},
        {"decoder": {"kind": "gated_mlp", "hidden": [10**6] * 16}},
        {"encoder": {"kind": "mlp", "hidden": [10**12, 10**12]}},
        {"encoder": {"kind": "mlp", "hidden": [10**30]}},
        {"encoder": {"kind": "conv", "channels": [10**9, 10**9], "blocks": [32, 32]}},
        {"latent_shape": [10**9, 10**9, 10**9]},
        {"latent_shape": [10**18]},
    ],
    ids=str,
)
def test_a_monstrous_config_is_refused_and_allocates_nothing(bundle, change):
    edit_json(bundle, "config.json", lambda c: c["vae"].update(change))
    refused(bundle, str(bundle))


def test_an_evaluation_from_before_there_were_baselines_loads_without_them(bundle):
    edit_json(bundle, "evaluation.json", lambda e: e.pop("baselines"))
    assert load_bundle(bundle).evaluation == EVALUATION.model_copy(update={"baselines": ()})


def test_names_of_labels_are_as_many_as_the_model_has(bundle):
    edit_json(
        bundle, "config.json", lambda c: (c["vae"].update(num_labels=2), c.update(labels=["one"]))
    )
    refused(bundle, "config.json", "labels holds 1 names", "num_labels = 2")


@pytest.mark.parametrize(
    ("part", "kind", "best"),
    [("prior", "standart_normal", "standard_normal"), ("encoder", "mpl", "mlp")],
)
def test_a_misspelt_kind_is_told_the_nearest_one(bundle, part, kind, best):
    edit_json(bundle, "config.json", lambda c: c["vae"][part].update(kind=kind))
    refused(bundle, f"vae.{part}.kind = {kind!r} is not allowed. Did you mean {best!r}?")


def test_a_kind_like_no_other_is_told_all_of_them(bundle):
    edit_json(bundle, "config.json", lambda c: c["vae"]["encoder"].update(kind="transformer"))
    kinds = "mlp, gated_mlp, conv, autoencoder_kl"
    refused(bundle, f"vae.encoder.kind = 'transformer' is not allowed. Allowed: {kinds}.")


def test_no_message_shows_the_text_of_the_validator(bundle):
    edit_json(bundle, "config.json", lambda c: c["vae"].update(num_labels=1))
    with pytest.raises(BundleCorrupt) as caught:
        load_bundle(bundle)
    assert "vae.num_labels = 1 leaves nothing to tell apart" in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert "Value error" not in str(caught.value)
