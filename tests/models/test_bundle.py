"""The bundle: what is saved is what is loaded, and everything else is refused by name."""

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from models.bundle import (
    BundleConfig,
    Estimate,
    Evaluation,
    Provenance,
    Reference,
    Repository,
    load_bundle,
    save_bundle,
)
from models.config import ConvConfig, ImageSpec, MLPConfig, NormalConfig, VAEConfig
from models.errors import BundleCorrupt, BundleNotFound, BundleVersionUnsupported
from models.evidence import estimate_log_px
from models.vae import VAE
from tests.oracle import IMAGE_SPEC, instance

PROVENANCE = Provenance(
    recipe="seed = 1\n",
    seed=1,
    code_version="0.1.0",
    dataset="squares",
    dataset_sha256="ab" * 32,
    created_at="2026-01-02T03:04:05Z",
    training_seconds=1.5,
    epochs=2.0,
    hardware="none",
    torch_version="2.13.0",
)
EVALUATION = Evaluation(
    dataset="squares",
    split="test",
    num_images=2,
    estimates=(
        Estimate(
            estimator="elbo",
            num_samples=10,
            n=2,
            seed=0,
            mean_nats=-3.5,
            standard_error_nats=0.25,
            bits_per_dim=0.75,
        ),
    ),
    rate_nats=1.0,
    distortion_nats=2.5,
    active_units=1,
    references=(Reference(estimator="elbo", num_samples=10, values_nats=(-4.0, -3.0)),),
)
TINY = VAEConfig(
    image_shape=(1, 2, 2),
    latent_shape=(1,),
    likelihood=NormalConfig(scale="fixed"),
    encoder=MLPConfig(hidden=()),
    decoder=MLPConfig(hidden=()),
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


def config_of(vae_config, *, name="tiny", version=1, image=None):
    channels, height, width = vae_config.image_shape
    return BundleConfig(
        name=name,
        version=version,
        vae=vae_config,
        image=image or ImageSpec(channels=channels, height=height, width=width, values="unit"),
        labels=("square", "circle"),
        provenance=PROVENANCE,
    )


def tiny_vae():
    """A VAE with pinned weights."""
    vae = VAE(TINY)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 8 - 0.25)
    return vae.eval()


def inputs_of(vae):
    count = 8 * vae.config.num_dimensions
    return torch.linspace(0, 1, count).reshape(8, *vae.image_shape)


def save(path, vae, **fields):
    arguments = dict(
        config=config_of(vae.config),
        evaluation=EVALUATION,
        card="# Tiny\n",
        pictures={"samples.png": b"not really a picture"},
        parity_inputs=inputs_of(vae),
    )
    save_bundle(path, vae=vae, **{**arguments, **fields})


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A tiny bundle that loads."""
    path = tmp_path / "tiny" / "1"
    save(path, tiny_vae())
    return path


def remake_manifest(path):
    """What someone would do who changes a bundle on purpose."""
    files = {
        p.name: {
            "sha256": hashlib.sha256(p.read_bytes()).hexdigest(),
            "size_bytes": p.stat().st_size,
        }
        for p in sorted(path.iterdir())
        if p.name != "manifest.json"
    }
    (path / "manifest.json").write_text(json.dumps({"format_version": 1, "files": files}))


def edit_json(path, name, change, *, remake=True):
    """Change one JSON file with a function of its content."""
    content = json.loads((path / name).read_text())
    change(content)
    (path / name).write_text(json.dumps(content))
    if remake:
        remake_manifest(path)


def edit_weights(path, change, *, name="model.safetensors"):
    """Change the tensors with a function of their dict, and make the manifest agree."""
    tensors = load_tensors((path / name).read_bytes())
    change(tensors)
    (path / name).write_bytes(save_tensors(tensors))
    remake_manifest(path)


def refused(path, *words, error=BundleCorrupt):
    """Loading is refused with a message that holds all these words."""
    with pytest.raises(error) as caught:
        load_bundle(path)
    for word in words:
        assert word in str(caught.value)


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
    assert digest == "0b1139d30001b2e4a2197a9435717f4511aeb6e4269c61f4df2c60c7c8067cfe"


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


@pytest.mark.parametrize("name", ["../escape.png", "/absolute.png", "a/b.png", ".hidden", ""])
def test_a_picture_cannot_be_written_outside_the_bundle(tmp_path, name):
    with pytest.raises(ValidationError):
        save(tmp_path / "tiny" / "1", tiny_vae(), pictures={name: b""})
    assert list(tmp_path.rglob("*")) == []


# Damage


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
    refused(bundle, "pipe.png")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "config.json", "evaluation.json"])
def test_a_file_that_is_not_its_json_is_refused(bundle, name, raw):
    (bundle / name).write_bytes(raw)
    if name != "manifest.json":
        remake_manifest(bundle)
    refused(bundle, name)


# Configs that do not fit


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
    refused(bundle, "version 1", "has 2", error=BundleVersionUnsupported)


def test_a_future_config_is_refused_as_such(bundle):
    edit_json(bundle, "config.json", lambda c: c.update(format_version=2, more="fields"))
    refused(bundle, "config.json", "version 1", "has 2", error=BundleVersionUnsupported)


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
    refused(bundle, "evaluation.json", "Sort them")


def test_an_image_spec_that_does_not_fit_the_likelihood_is_refused(bundle):
    edit_json(bundle, "config.json", lambda c: c["image"].update(values="integer"))
    refused(bundle, "config.json", "takes unit values")


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


# Repository


@pytest.fixture
def repository(tmp_path) -> Repository:
    """Folders of every kind; nothing here is loaded."""
    for folder in ["a/1", "a/2", "a/10", "a/0", "a/01", "a/abc", "a/.3.partial", "a/-1", "a/1.5"]:
        (tmp_path / folder).mkdir(parents=True)
    for folder in ["b/7", "empty", ".hidden/1", "only-odd/0", "only-odd/v1", "c/\u00b2"]:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a" / "11").write_text("a file")
    (tmp_path / "file").write_text("")
    return Repository(tmp_path)


def test_models_are_folders_with_a_version(repository):
    assert repository.names() == ["a", "b"]


def test_versions_are_positive_integers_in_numerical_order(repository):
    assert repository.versions("a") == [1, 2, 10]
    assert repository.versions("only-odd") == []
    assert repository.versions("nothing") == []


def test_the_highest_version_is_taken_unless_one_is_asked_for(repository):
    assert repository.path_of("a") == repository.path / "a" / "10"
    assert repository.path_of("a", 2) == repository.path / "a" / "2"
    assert repository.path_of("b") == repository.path / "b" / "7"


@pytest.mark.parametrize("name", ["nothing", "empty", "..", ".hidden", "a/1", "", "only-odd"])
def test_an_unknown_model_is_not_found_and_the_message_says_which_there_are(repository, name):
    with pytest.raises(BundleNotFound, match=r"there are \['a', 'b'\]"):
        repository.path_of(name)


@pytest.mark.parametrize("version", [0, 3, 11, -1])
def test_an_unknown_version_is_not_found_and_the_message_says_which_there_are(repository, version):
    with pytest.raises(BundleNotFound, match=rf"received {version}, there are \[1, 2, 10\]"):
        repository.path_of("a", version)


def test_the_next_version_is_one_more_than_the_highest(repository):
    assert repository.next_version("a") == 11
    assert repository.next_version("only-odd") == 1
    assert repository.next_version("nothing") == 1


def test_a_repository_that_is_not_there_is_empty(tmp_path):
    assert Repository(tmp_path / "nowhere").names() == []
