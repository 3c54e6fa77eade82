"""Parity: weights and outputs that do not belong together are refused."""

import pytest
import torch

from models.bundle.loading import load_bundle
from tests.models.bundle_cases import edit_weights, refused, remake_manifest

WEIGHT = "decoder.body.1.weight"


@pytest.mark.parametrize("name", ["encoder.body.1.weight", "encoder.body.1.bias", WEIGHT])
def test_altered_weights_are_found_though_the_manifest_agrees(bundle, name):
    edit_weights(bundle, lambda t: t[name].view(-1)[0].add_(0.01))
    refused(bundle, "parity.safetensors", "differs by")


def test_a_difference_within_the_tolerance_is_accepted(bundle):
    edit_weights(bundle, lambda t: t[WEIGHT].view(-1)[0].add_(1e-6))
    assert load_bundle(bundle).version == 1


PARITY = "parity.safetensors"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("x"),
        lambda t: t.pop("log_w"),
        lambda t: t.update(more=torch.zeros(1)),
        lambda t: t.update(x=torch.zeros(())),
        lambda t: t.update(x=torch.zeros(8, 4)),
        lambda t: t.update(x=torch.zeros(8, 1, 2, 3)),
        lambda t: t.update(x=t["x"].double()),
        lambda t: t.update(x=torch.zeros(8, 1, 2, 2, dtype=torch.int64)),
        lambda t: t.update({name: value[:7] for name, value in t.items() if name != "noise"}),
        lambda t: t.update({name: value[:0] for name, value in t.items()}),
        lambda t: t.update(posterior_loc=torch.zeros(8, 2)),
        lambda t: t.update(posterior_loc=torch.zeros(0)),
        lambda t: t["log_w"].fill_(float("nan")),
        lambda t: t["x"].fill_(float("nan")),
    ],
)
def test_parity_that_is_not_this_models_is_refused(bundle, change):
    edit_weights(bundle, change, name=PARITY)
    refused(bundle, PARITY)


def test_parity_that_is_no_safetensors_file_is_refused(bundle):
    (bundle / PARITY).write_bytes(b"\x80\x04K\x01.")
    remake_manifest(bundle)
    refused(bundle, PARITY)
