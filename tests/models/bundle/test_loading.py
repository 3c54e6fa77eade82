"""Loading of a bundle: it computes what the saved model does; damaged files are refused by name."""

import codecs
import hashlib
import json
import os
import pickle
import re
import socket
from pathlib import Path

import pytest
import torch

from models.bundle import reading
from models.bundle.loading import load_bundle
from models.config import ConvConfig, MLPConfig, NormalConfig
from models.errors import BundleCorrupt, BundleNotFound
from models.estimators.importance import estimate_log_px
from models.vae import VAE
from models.vae_config import VAEConfig
from tests.models.bundle_cases import (
    EVALUATION,
    TINY,
    config_of,
    edit_json,
    edit_weights,
    refused,
    remake_manifest,
    save,
)
from tests.oracle import IMAGE_SPEC, instance

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


def test_the_digest_changes_with_any_byte(bundle):
    first = load_bundle(bundle).digest
    (bundle / "README.md").write_text("# Tinz\n")
    remake_manifest(bundle)
    assert load_bundle(bundle).digest != first


def test_a_complete_but_not_yet_renamed_bundle_does_not_load(bundle):
    partial = bundle.rename(bundle.with_name(".1.partial"))
    refused(partial, "tiny/1")


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


# Files that are missing, damaged, links or not listed


def test_a_missing_folder_is_not_found(tmp_path):
    refused(tmp_path / "tiny" / "1", str(tmp_path / "tiny" / "1"), error=BundleNotFound)


def test_a_file_instead_of_a_folder_is_not_found(tmp_path):
    (tmp_path / "1").write_bytes(b"")
    refused(tmp_path / "1", error=BundleNotFound)


FILES = [
    "config.json",
    "model.safetensors",
    "parity.safetensors",
    "evaluation.json",
    "README.md",
    "samples.png",
]


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(bundle, name):
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[:-1])
    refused(bundle, name, "size")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_refused(bundle, name):
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    refused(bundle, name, "sha256")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(bundle, name):
    (bundle / name).unlink()
    refused(bundle, name, "lacks")


@pytest.mark.parametrize("name", FILES[:5])
def test_a_required_file_must_be_there_and_listed(bundle, name):
    edit_json(bundle, "manifest.json", lambda m: m["files"].pop(name), remake=False)
    refused(bundle, name, "does not list")
    (bundle / name).unlink()
    refused(bundle, name, "lacks")


def test_a_file_that_is_not_listed_is_refused(bundle):
    (bundle / "extra.py").write_text("print('no')")
    refused(bundle, "extra.py")


def test_a_bundle_without_manifest_is_refused(bundle):
    (bundle / "manifest.json").unlink()
    refused(bundle, "manifest.json")


@pytest.mark.parametrize("field", ["sha256", "size_bytes"])
def test_a_wrong_manifest_is_refused(bundle, field):
    wrong = {"sha256": "0" * 64, "size_bytes": 8}[field]
    edit_json(
        bundle,
        "manifest.json",
        lambda m: m["files"]["README.md"].update({field: wrong}),
        remake=False,
    )
    refused(bundle, "README.md", field.removesuffix("_bytes"))


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "..", ".hidden", "a\\b", "", "x" * 129])
def test_a_name_that_is_a_path_is_refused_before_anything_is_read(bundle, name):
    outside = bundle.parent / "x"
    outside.write_bytes(b"secret")
    entry = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size_bytes": 6}
    edit_json(bundle, "manifest.json", lambda m: m["files"].update({name: entry}), remake=False)
    refused(bundle, "manifest.json", "String should")


@pytest.mark.parametrize("name", [*FILES, "manifest.json", "extra.bin"])
def test_a_symbolic_link_is_refused_even_to_the_right_bytes(bundle, name):
    elsewhere = bundle.parent / "elsewhere"
    if (bundle / name).exists():
        (bundle / name).rename(elsewhere)
    else:
        elsewhere.write_bytes(b"")
    (bundle / name).symlink_to(elsewhere)
    refused(bundle, name, "link")


def test_a_folder_in_a_bundle_is_refused(bundle):
    (bundle / "more").mkdir()
    refused(bundle, "more", "folder")


def test_a_pipe_in_a_bundle_is_refused_without_waiting_for_it(bundle):
    os.mkfifo(bundle / "pipe.png")
    refused(bundle, "pipe.png is a device, a pipe or a socket")


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "model.safetensors"])
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting_for_it(bundle, name):
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    refused(bundle, name, "a pipe")


def test_a_socket_in_a_bundle_is_refused(bundle, monkeypatch):
    monkeypatch.chdir(bundle)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        refused(bundle, "s is a device, a pipe or a socket")


@pytest.mark.parametrize("target", ["1", "gone"])
def test_a_version_that_is_a_link_to_another_one_is_refused_by_its_own_name(bundle, target):
    link = bundle.with_name("7")
    link.symlink_to(target)
    if target == "gone":
        refused(link, "There is no bundle folder", error=BundleNotFound)
    else:
        refused(link, f"{link} is a link; it holds the bundle tiny/1. Remove the link.")


def test_a_link_to_a_folder_that_is_no_bundle_names_nothing_in_it(bundle, tmp_path):
    private = tmp_path / "private"
    (private / "payroll").mkdir(parents=True)
    (private / "manifest.json").write_text('{"name": "a web page", "icons": []}')
    link = bundle.with_name("7")
    link.symlink_to(private)
    with pytest.raises(BundleCorrupt) as caught:
        load_bundle(link)
    assert "payroll" not in str(caught.value)


def test_a_link_to_the_very_bundle_is_followed(bundle, tmp_path):
    (tmp_path / "repository" / "tiny").mkdir(parents=True)
    link = tmp_path / "repository" / "tiny" / "1"
    link.symlink_to(bundle)
    assert load_bundle(link).version == 1


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_a_key_that_stands_twice_is_refused(bundle, name):
    text = (bundle / name).read_text()
    first = next(iter(json.loads(text)))
    (bundle / name).write_text(text.replace("{", f'{{"{first}": 1, ', 1))
    if name != "manifest.json":
        remake_manifest(bundle)
    refused(bundle, name, f"the key '{first}' stands twice in one object. Export the bundle again.")


def test_a_key_that_stands_twice_inside_is_refused(bundle):
    text = (bundle / "config.json").read_text()
    (bundle / "config.json").write_text(re.sub(r'("channels": ?\d+)', r"\1, \1", text, count=1))
    remake_manifest(bundle)
    refused(bundle, "config.json", "the key 'channels' stands twice")


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_json_that_begins_with_a_byte_order_mark_is_read(bundle, name):
    (bundle / name).write_bytes(codecs.BOM_UTF8 + (bundle / name).read_bytes())
    if name != "manifest.json":
        remake_manifest(bundle)
    assert load_bundle(bundle).name == "tiny"


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_huge_json_is_refused_before_it_is_read(bundle, name, monkeypatch):
    (bundle / name).write_bytes((bundle / name).read_bytes() + b" " * 65536)
    if name != "manifest.json":
        remake_manifest(bundle)
    monkeypatch.setattr(reading, "MAX_JSON_BYTES", 65536)
    refused(bundle, name, "over the limit of 65536. Export the bundle again.")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_a_file_that_is_not_its_json_is_refused(bundle, name, raw):
    (bundle / name).write_bytes(raw)
    if name != "manifest.json":
        remake_manifest(bundle)
    refused(bundle, name)
