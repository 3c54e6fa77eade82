"""ONNX files of bundles: rows of any number, extreme scales, the snippet of the README."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models.bundle.loading import load_bundle
from models.errors import ConfigError, UnsupportedOperation
from models.images.spec import ImageSpec
from models.vae.likelihoods import LIKELIHOODS
from models.vae.model import VAE
from models.vae.posteriors import POSTERIORS
from models.vae_config import VAEConfig
from tests.models.bundle_cases import config_of, inputs_of, save
from tests.models.family_cases import family
from tests.training.vae_lab import exit_code
from training.export.onnx_files import check_outputs, export_onnx
from training.export.onnx_ports import (
    LIKELIHOOD_OUTPUTS,
    POSTERIOR_OUTPUTS,
    describe_preprocessing,
    parts_of,
)

for name in ("onnx", "onnxscript"):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[onnx]'")

LEVELS = {"kind": "discretized_normal", "levels": 16}
COLOUR = {"kind": "discretized_logistic", "num_mixtures": 2}
CASES: dict[str, tuple[VAEConfig, dict[str, Any]]] = {
    "ladder": (family("conv-ladder"), {"levels": 2, "binarization": "threshold"}),
    "full": (
        family("full", likelihood={"kind": "continuous_bernoulli"}),
        {"values": "unit", "fit": "pad", "background": 9},
    ),
    "classifier": (family("m2", likelihood=LEVELS), {"levels": 16}),
    "autoencoder": (family("autoencoder"), {"values": "unit"}),
    "colour": (
        family("standard", image_shape=(3, 4, 4), likelihood=COLOUR, principal_path=True),
        {"channels": 3, "fit": "crop", "resample": "lanczos"},
    ),
    "two layers": (family("two-layers", likelihood={"kind": "normal"}), {"values": "unit"}),
    "stochastic": (family("standard"), {"levels": 2, "binarization": "stochastic"}),
}


@pytest.fixture(autouse=True)
def _no_checks_of_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter's sizes are symbols, which no annotation allows."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def make_bundle(repository: Path, vae: VAE, **image: Any) -> Path:
    """A bundle of a model on pictures of 4 x 4."""
    fields = {"channels": 1, "height": 4, "width": 4, **image}
    path, spec = repository / "tiny" / "1", ImageSpec.model_validate(fields)
    x = inputs_of(vae) * (1 if spec.values == "unit" else spec.levels - 1)
    x = x if spec.values == "unit" else x.round()
    save(path, vae, config=config_of(vae.config, image=spec), parity_inputs=x)
    return path


def run(file: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def snippet(folder: Path) -> str:
    """The code of the README."""
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_files_compute_what_the_model_computes_for_any_number_of_rows(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, image = CASES[case]
    torch.manual_seed(0)
    vae = VAE(config).freeze()
    bundle = make_bundle(tmp_path, vae, **image)
    folder = tmp_path / "onnx"
    assert exit_code("export-onnx", str(bundle), "-o", str(folder)) == 0
    x = torch.full((5, *config.image_shape), 1.0)
    y = (torch.arange(5) % 3,) if config.num_labels else ()
    label = {"y": y[0].numpy()} if y else {}
    for name, output in run(folder / "encoder.onnx", {"x": x.numpy(), **label}).items():
        expected = getattr(vae.posterior(x, *y), name)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    z = torch.randn(2, *vae.latent_shape)
    label, y = {name: value[:2] for name, value in label.items()}, tuple(k[:2] for k in y)
    for name, output in run(folder / "decoder.onnx", {"z": z.numpy(), **label}).items():
        expected = getattr(vae.likelihood(z, *y), name)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-3)
    if case == "classifier":
        (logits,) = run(folder / "classifier.onnx", {"x": x.numpy()}).values()
        np.testing.assert_allclose(logits, vae.label_logits(x), rtol=1e-4, atol=1e-5)
    check_snippet(folder, config, case, monkeypatch)
    check_metadata(folder, bundle)


def check_snippet(
    folder: Path, config: VAEConfig, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's code reads a picture of the model's size as the service does."""
    monkeypatch.chdir(folder)
    channels = config.image_shape[0]
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, channels), dtype=np.uint8)
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save("picture.png")
    found: dict[str, Any] = {}
    exec(snippet(folder), found)
    grey = pixels.transpose(2, 0, 1)[None].astype(np.float64)
    expected = {
        "ladder": (grey > 127).astype(float),
        "classifier": np.floor(grey / 17 + 0.5),
        "colour": grey,
        "stochastic": found["x"],
    }.get(case, grey / 255)
    np.testing.assert_allclose(found["x"], expected, rtol=1e-6)
    assert set(np.unique(found["x"])) <= {0, 1} or case not in ("ladder", "stochastic")
    assert found["mean"].shape == (1, *config.image_shape)


def check_metadata(folder: Path, bundle: Path) -> None:
    """Each file says by itself what it takes and gives."""
    session = onnxruntime.InferenceSession(folder / "encoder.onnx")
    said = session.get_modelmeta().custom_metadata_map
    loaded = load_bundle(bundle)
    assert (said["model"], said["version"], said["part"]) == ("tiny", "1", "encoder")
    assert said["bundle_sha256"] == loaded.digest
    assert ImageSpec.model_validate_json(said["image"]) == loaded.config.image
    ports = {port["name"]: port for port in json.loads(said["inputs"])}
    assert ports["x"]["shape"] == ["batch", *loaded.vae.image_shape]
    readme = (folder / "README.md").read_text()
    for sentence in [
        *json.loads(said["preprocessing"]),
        *(port["meaning"] for port in ports.values()),
    ]:
        assert sentence in readme


@pytest.mark.slow
def test_scales_are_right_where_the_exporters_own_logarithm_of_a_sigmoid_is_infinite(
    tmp_path: Path,
) -> None:
    vae = VAE(family("standard", encoder={"kind": "mlp", "hidden": []}))
    with torch.no_grad():
        vae.encoder.body[-1].bias.copy_(torch.tensor([0.0, 0.0, 30.0, -30.0]))
        vae.encoder.body[-1].weight.zero_()
    bundle = make_bundle(tmp_path, vae.freeze(), levels=2, binarization="threshold")
    export_onnx(bundle, tmp_path / "onnx")
    scale = run(tmp_path / "onnx" / "encoder.onnx", {"x": np.zeros((1, 1, 4, 4), np.float32)})
    np.testing.assert_allclose(scale["scale"], [[30, np.exp(-30)]], rtol=1e-6)


@pytest.mark.slow
def test_outputs_that_differ_from_the_stored_ones_are_an_error(tmp_path: Path) -> None:
    vae = VAE(family("standard")).freeze()
    bundle = make_bundle(tmp_path, vae, levels=2, binarization="threshold")
    export_onnx(bundle, tmp_path / "onnx")
    stored = load_file(bundle / "parity.safetensors")
    (encoder, _), model = parts_of(vae), (tmp_path / "onnx" / "encoder.onnx").read_bytes()
    check_outputs(encoder, model, stored, vae)
    stored["posterior_scale"][2, 1] += 0.01
    with pytest.raises(UnsupportedOperation) as caught:
        check_outputs(encoder, model, stored, vae)
    assert "scale of encoder.onnx differs by 0.01 from the bundle's" in str(caught.value)


def test_a_mixture_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vae = VAE(family("categorical"))
    bundle = make_bundle(tmp_path, vae, levels=2, binarization="threshold")
    assert exit_code("export-onnx", str(bundle), "-o", str(tmp_path / "onnx")) == 1
    assert "tiny is a mixture without an encoder" in capsys.readouterr().err
    assert not (tmp_path / "onnx").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it exists, and nothing is overwritten"):
        export_onnx(tmp_path / "tiny" / "1", tmp_path)


def test_a_package_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"needs the extra onnx; onnxscript is not installed"):
        export_onnx(tmp_path / "tiny" / "1", tmp_path / "onnx")


def test_every_kind_of_posterior_and_likelihood_has_its_outputs() -> None:
    assert POSTERIOR_OUTPUTS.keys() == POSTERIORS.keys() - {"enumerated"}
    assert LIKELIHOOD_OUTPUTS.keys() == LIKELIHOODS.keys()


def test_grey_levels_of_their_own_number_are_described() -> None:
    image = ImageSpec(channels=1, height=8, width=8, levels=17)
    assert "A pixel v of 0..255 becomes the level floor(v * 16 / 255 + 1/2)." in (
        describe_preprocessing(image)
    )
