"""The bundle: what is saved is what is loaded; weights and outputs of another model are refused."""

import hashlib
import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_tensors

from models.bundle.loading import load_bundle
from models.bundle.repository import Repository
from models.config import ConvConfig, MLPConfig, NormalConfig, VAEConfig
from models.errors import BundleNotFound, ConfigError, OutOfSupport, ShapeMismatch
from models.estimators.importance import estimate_log_px
from models.vae.model import VAE
from tests.models.bundle_cases import (
    EVALUATION,
    TINY,
    config_of,
    edit_weights,
    refused,
    remake_manifest,
    save,
    tiny_vae,
)
from tests.oracle import IMAGE_SPEC, instance

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
    "classifier": null
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


# What is saved is what is loaded


def test_a_loaded_bundle_is_the_saved_one(bundle):
    loaded = load_bundle(bundle)
    assert (loaded.name, loaded.version, loaded.path) == ("tiny", 1, bundle)
    assert loaded.config == config_of(TINY)
    assert loaded.evaluation == EVALUATION
    assert loaded.digest == hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    assert (bundle / "README.md").read_text() == "# Tiny\n"
    assert (bundle / "samples.png").read_bytes() == b"not really a picture"


def test_a_loaded_model_is_in_eval_mode_float32_and_without_gradients(bundle):
    vae = load_bundle(bundle).vae
    assert not any(module.training for module in vae.modules())
    assert {p.dtype for p in vae.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in vae.parameters())


@pytest.mark.parametrize(
    "network", [MLPConfig(hidden=(9,)), ConvConfig(channels=(4,), blocks=(1,))], ids=["mlp", "conv"]
)
def test_a_loaded_model_computes_bit_by_bit_what_the_saved_one_does(tmp_path, network):
    torch.manual_seed(0)
    config = VAEConfig(
        image_shape=(3, 6, 5),
        latent_shape=(4,),
        likelihood=NormalConfig(),
        encoder=network,
        decoder=network,
    )
    vae = VAE(config).eval().requires_grad_(False)
    save(tmp_path / "tiny" / "1", vae)
    loaded = load_bundle(tmp_path / "tiny" / "1").vae
    x, z = torch.rand(20, 3, 6, 5), torch.randn(20, 4)
    noise = torch.randn(3, 20, 4)
    assert torch.equal(loaded.posterior(x).loc, vae.posterior(x).loc)
    assert torch.equal(loaded.likelihood(z).mean, vae.likelihood(z).mean)
    assert torch.equal(loaded.log_weights(x, noise), vae.log_weights(x, noise))


@pytest.mark.parametrize("name", ["easy", "medium", "hard"])
def test_the_oracle_keeps_its_evidence_through_a_bundle(tmp_path, name):
    oracle = instance(name)
    x = oracle.draw(8)
    path = tmp_path / name / "1"
    config = config_of(oracle.vae.config, name=name, image=IMAGE_SPEC[name])
    exact = oracle.log_px(x)
    save(path, oracle.vae, config=config, parity_inputs=x.float())
    e = estimate_log_px(load_bundle(path).vae, x.float(), num_samples=200, seed=0)
    if name == "hard":  # a lower bound
        assert bool((e.estimate_nats < exact + 4 * e.standard_error_nats).all())
        assert bool((e.estimate_nats > exact - 3).all())
    else:
        error = 4 * e.standard_error_nats + 1e-4  # float32
        assert bool(((e.estimate_nats - exact).abs() < error).all())


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
    assert digest == "18696170402de43209cb49721f756b199d74ba602126412a8045859cd6e4e3f6"


def test_the_weights_are_stored_under_their_names_and_shapes(bundle):
    tensors = load_tensors((bundle / "model.safetensors").read_bytes())
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "encoder.body.1.weight": (2, 4),
        "encoder.body.1.bias": (2,),
        "decoder.body.1.weight": (4, 1),
        "decoder.body.1.bias": (4,),
    }
    assert tensors["decoder.body.1.bias"].tolist() == [-0.25, -0.125, 0.0, 0.125]


def test_the_digest_changes_with_any_byte(bundle):
    first = load_bundle(bundle).digest
    (bundle / "README.md").write_text("# Tinz\n")
    remake_manifest(bundle)
    assert load_bundle(bundle).digest != first


# Writing


def test_an_existing_version_is_never_overwritten(bundle):
    before = {p.name: p.read_bytes() for p in bundle.iterdir()}
    with pytest.raises(FileExistsError, match="never overwritten"):
        save(bundle, tiny_vae())
    assert {p.name: p.read_bytes() for p in bundle.iterdir()} == before


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
            raise OSError("no space left on device")
        return exact(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing)
        with pytest.raises(OSError, match="no space"):
            save(path, tiny_vae())
    assert not path.exists()
    assert Repository(tmp_path).names() == []
    refused(path, str(path), error=BundleNotFound)
    save(path, tiny_vae())
    assert load_bundle(path).version == 1
    assert [p.name for p in path.parent.iterdir()] == ["1"]


def test_a_complete_but_not_yet_renamed_bundle_does_not_load(bundle):
    partial = bundle.rename(bundle.with_name(".1.partial"))
    refused(partial, "tiny/1")


@pytest.mark.parametrize(
    "name",
    ["../x.png", "/x.png", "a/b.png", ".x.png", "", "x", "x.PNG", "README.md", "a" * 125 + ".png"],
)
def test_a_picture_that_would_not_load_or_is_another_file_is_not_written(tmp_path, name):
    with pytest.raises(ConfigError, match=re.escape(f"received {name!r}")):
        save(tmp_path / "tiny" / "1", tiny_vae(), pictures={name: b""})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "x",
    [torch.zeros(7, 1, 2, 2), torch.zeros(8, 1, 2, 3), torch.zeros(8, 1, 2, 2).double()],
    ids=["seven", "wide", "float64"],
)
def test_parity_inputs_of_another_shape_or_type_are_not_written(tmp_path, x):
    with pytest.raises(ShapeMismatch, match=re.escape(f"{x.dtype} {tuple(x.shape)}")):
        save(tmp_path / "tiny" / "1", tiny_vae(), parity_inputs=x)
    assert list(tmp_path.rglob("*")) == []


def test_parity_inputs_outside_the_support_are_not_written(tmp_path):
    with pytest.raises(OutOfSupport, match="nan"):
        save(tmp_path / "tiny" / "1", tiny_vae(), parity_inputs=torch.full((8, 1, 2, 2), torch.nan))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("place", ["tiny/2", "other/1", "tiny/01"])
def test_a_bundle_is_not_written_to_another_folder_than_its_config_says(tmp_path, place):
    with pytest.raises(ConfigError, match="for tiny/1"):
        save(tmp_path / place, tiny_vae())


def test_a_bundle_is_not_written_with_another_models_config(tmp_path):
    other = TINY.model_copy(update={"latent_shape": (2,)})
    with pytest.raises(ConfigError, match="Take the model's own"):
        save(tmp_path / "tiny" / "1", tiny_vae(), config=config_of(other))


# Weights that do not fit


def test_a_pickle_that_claims_to_be_safetensors_is_refused_and_not_executed(bundle, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (bundle / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    remake_manifest(bundle)
    refused(bundle, "model.safetensors")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "parity.safetensors"])
@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "X1"])
def test_a_type_of_number_that_torch_lacks_is_refused(bundle, name, dtype):
    header = json.dumps({"x": {"dtype": dtype, "shape": [8], "data_offsets": [0, 6]}}).encode()
    (bundle / name).write_bytes(len(header).to_bytes(8, "little") + header + bytes(6))
    remake_manifest(bundle)
    refused(bundle, name)


WEIGHT = "decoder.body.1.weight"


def test_an_extra_tensor_is_refused(bundle):
    edit_weights(bundle, lambda t: t.update(extra=torch.zeros(1)))
    refused(bundle, "model.safetensors", "extra ['extra']")


def test_a_missing_tensor_is_refused(bundle):
    edit_weights(bundle, lambda t: t.pop(WEIGHT))
    refused(bundle, "model.safetensors", f"missing ['{WEIGHT}']")


def test_a_tensor_of_another_shape_is_refused(bundle):
    edit_weights(bundle, lambda t: t.update({WEIGHT: torch.zeros(1, 4)}))
    refused(bundle, WEIGHT, "(4, 1)", "(1, 4)")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32])
def test_a_tensor_of_another_type_is_refused(bundle, dtype):
    edit_weights(bundle, lambda t: t.update({WEIGHT: t[WEIGHT].to(dtype)}))
    refused(bundle, WEIGHT, str(dtype))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused(bundle, value):
    edit_weights(bundle, lambda t: t[WEIGHT].__setitem__((1, 0), value))
    refused(bundle, WEIGHT, "not finite")


# Parity


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
