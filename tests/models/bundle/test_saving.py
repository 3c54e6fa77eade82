"""Saving of a bundle: the bytes of its files, and what is not written."""

import errno
import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_tensors

from models.bundle.loading import load_bundle
from models.bundle.repository import Repository
from models.errors import BundleNotFound, ConfigError, OutOfSupport, ShapeMismatch
from tests.models.bundle_cases import (
    TINY,
    config_of,
    refused,
    save,
    tiny_vae,
)

GOLDEN_CONFIG = r"""{
  "format_version": 1,
  "name": "tiny",
  "version": 1,
  "vae": {
    "image_shape": [
      1,
      2,
      2
    ],
    "latent_shape": [
      1
    ],
    "latent_groups": [],
    "num_labels": 0,
    "label_probabilities": [],
    "likelihood": {
      "kind": "normal",
      "scale": "fixed",
      "fixed_scale": 1.0
    },
    "prior": {
      "kind": "standard_normal"
    },
    "posterior": {
      "kind": "diagonal_normal"
    },
    "encoder": {
      "kind": "mlp",
      "hidden": [],
      "activation": "relu",
      "dropout": 0.0
    },
    "decoder": {
      "kind": "mlp",
      "hidden": [],
      "activation": "relu",
      "dropout": 0.0
    },
    "classifier": null,
    "principal_path": false
  },
  "image": {
    "channels": 1,
    "height": 2,
    "width": 2,
    "fit": "stretch",
    "resample": "bilinear",
    "grey": "rec601",
    "background": 0,
    "levels": 256,
    "values": "unit",
    "binarization": "none"
  },
  "labels": [
    "square",
    "circle"
  ],
  "latent_scaling": null,
  "provenance": {
    "recipe": "seed = 1\n",
    "seed": 1,
    "code_version": "0.1.0",
    "dataset": "squares",
    "dataset_sha256": "abababababababababababababababababababababababababababababababab",
    "created_at": "2026-01-02T03:04:05Z",
    "training_seconds": 1.5,
    "epochs": 2.0,
    "hardware": "none",
    "torch_version": "2.13.0"
  }
}
"""


def test_the_files_of_a_tiny_bundle_are_pinned_byte_by_byte(bundle):
    assert (bundle / "config.json").read_text() == GOLDEN_CONFIG
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (bundle / "manifest.json").read_text() == json.dumps(manifest, indent=2) + "\n"
    assert manifest["format_version"] == 1
    assert list(manifest["files"]) == [
        "README.md",
        "config.json",
        "evaluation.json",
        "model.safetensors",
        "parity.safetensors",
        "samples.png",
    ]
    # Parity holds computed floats, whose last bits belong to the machine.
    pinned = {n: f for n, f in manifest["files"].items() if n != "parity.safetensors"}
    digest = hashlib.sha256(json.dumps(pinned).encode()).hexdigest()
    assert digest == "a4db8b0be6a0f7ab2d6490427eed44e0e968de3df3a1b518dffb28414018f2a1"


def test_the_weights_are_stored_under_their_names_and_shapes(bundle):
    tensors = load_tensors((bundle / "model.safetensors").read_bytes())
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "encoder.body.1.weight": (2, 4),
        "encoder.body.1.bias": (2,),
        "decoder.body.1.weight": (4, 1),
        "decoder.body.1.bias": (4,),
    }
    assert tensors["decoder.body.1.bias"].tolist() == [-0.25, -0.125, 0.0, 0.125]


def test_an_existing_version_is_never_overwritten(bundle):
    before = {p.name: p.read_bytes() for p in bundle.iterdir()}
    with pytest.raises(FileExistsError, match="never overwritten"):
        save(bundle, tiny_vae())
    assert {p.name: p.read_bytes() for p in bundle.iterdir()} == before


def test_of_two_saves_of_one_version_at_once_the_second_is_refused(tmp_path, monkeypatch):
    path, exact = tmp_path / "tiny" / "1", Path.write_bytes

    def meanwhile(self, data):
        monkeypatch.setattr(Path, "write_bytes", exact)
        path.mkdir()
        (path / "manifest.json").write_bytes(b"the other's")
        return exact(self, data)

    monkeypatch.setattr(Path, "write_bytes", meanwhile)
    with pytest.raises(FileExistsError, match="1 exists; a released bundle is never overwritten"):
        save(path, tiny_vae())
    assert [p.name for p in path.parent.iterdir()] == ["1"]
    assert [p.name for p in path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("writes", [0, 1, 3, 6])
def test_an_interrupted_save_leaves_nothing_to_load_and_can_be_repeated(
    tmp_path, monkeypatch, writes
):
    path = tmp_path / "tiny" / "1"
    exact, count = Path.write_bytes, []

    def failing(self, data):
        count.append(1)
        if len(count) > writes:
            exact(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "no space left on device")
        return exact(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing)
        with pytest.raises(OSError, match="no space") as raised:
            save(path, tiny_vae())
    assert raised.value.filename == str(path)
    assert list(path.parent.iterdir()) == []
    assert Repository(tmp_path).names() == []
    refused(path, str(path), error=BundleNotFound)
    save(path, tiny_vae())
    assert load_bundle(path).version == 1
    assert [p.name for p in path.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(
    "name",
    ["../x.png", "/x.png", "a/b.png", ".x.png", "", "x", "x.PNG", "README.md", "a" * 125 + ".png"],
)
def test_a_picture_that_would_not_load_or_is_another_file_is_not_written(tmp_path, name):
    with pytest.raises(ConfigError, match=re.escape(f"name {name!r} is not allowed")):
        save(tmp_path / "tiny" / "1", tiny_vae(), pictures={name: b""})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "x",
    [torch.zeros(9, 1, 2, 2), torch.zeros(8, 1, 2, 3), torch.zeros(8, 1, 2, 2).double()],
    ids=["nine", "wide", "float64"],
)
def test_parity_inputs_of_another_shape_or_type_are_not_written(tmp_path, x):
    with pytest.raises(
        ShapeMismatch, match=re.escape(f"parity_inputs is {x.dtype} {tuple(x.shape)}")
    ):
        save(tmp_path / "tiny" / "1", tiny_vae(), parity_inputs=x)
    assert list(tmp_path.rglob("*")) == []


def test_parity_inputs_outside_the_support_are_not_written(tmp_path):
    with pytest.raises(OutOfSupport, match="nan"):
        save(tmp_path / "tiny" / "1", tiny_vae(), parity_inputs=torch.full((8, 1, 2, 2), torch.nan))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("place", ["tiny/2", "other/1", "tiny/01"])
def test_a_bundle_is_not_written_to_another_folder_than_its_config_says(tmp_path, place):
    with pytest.raises(ConfigError, match=r"says tiny/1. Save to .*/tiny/1"):
        save(tmp_path / place, tiny_vae())


def test_a_bundle_is_not_written_with_another_models_config(tmp_path):
    other = TINY.model_copy(update={"latent_shape": (2,)})
    with pytest.raises(
        ConfigError, match=r"latent_shape = \(2,\), not \(1,\). Set config.vae = vae.config"
    ):
        save(tmp_path / "tiny" / "1", tiny_vae(), config=config_of(other))
