"""A bundle as an MLflow model: loaded by MLflow, asked for latents and ELBOs, and served."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models.bundle.loading import load_bundle
from models.errors import ConfigError, InputError, UnsupportedOperation
from models.estimators.elbo import estimate_elbo
from models.images.spec import ImageSpec
from models.pyfunc import BundleModel
from models.vae.model import VAE
from tests.models.bundle_cases import config_of, inputs_of, save
from tests.models.family_cases import family
from tests.training.vae_lab import exit_code
from training.export.mlflow_model import export_mlflow

mlflow = pytest.importorskip("mlflow.pyfunc", reason="pip install -e '.[mlflow]'")

pytestmark = pytest.mark.filterwarnings("ignore::Warning:(mlflow|pydantic)")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
X = torch.from_numpy(PIXELS >= 128).float().movedim(-1, 1)


def make_bundle(repository: Path, name: str) -> Path:
    """A bundle of a family with torch's initial weights."""
    torch.manual_seed(0)
    vae = VAE(family(name)).freeze()
    is_binary = vae.config.likelihood.kind == "bernoulli"
    fields = {"levels": 2, "binarization": "threshold"} if is_binary else {"values": "unit"}
    spec = ImageSpec.model_validate({"channels": 1, "height": 4, "width": 4, **fields})
    path = repository / "tiny" / "1"
    x = inputs_of(vae).round()
    save(path, vae, config=config_of(vae.config, image=spec), parity_inputs=x)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mlflow")
    bundle = make_bundle(root, "standard")
    assert exit_code("export-mlflow", str(bundle), "-o", str(root / "model")) == 0
    return root / "model"


def test_the_loaded_model_gives_latents_and_elbos_with_their_errors(folder: Path) -> None:
    model, vae = mlflow.load_model(str(folder)), load_bundle(folder.parent / "tiny" / "1").vae
    np.testing.assert_array_equal(model.predict(PIXELS), vae.posterior(X).mean.numpy())
    scores = model.predict(PIXELS, params={"output": "elbo", "num_samples": 7, "seed": 3})
    expected = estimate_elbo(vae, X, num_samples=7, seed=3)
    np.testing.assert_array_equal(scores["elbo_nats"], expected.elbo_nats.numpy())
    np.testing.assert_array_equal(
        scores["standard_error_nats"], expected.standard_error_nats.numpy()
    )


def test_the_signature_says_what_goes_in(folder: Path) -> None:
    signature = mlflow.load_model(str(folder)).metadata.signature
    (images,) = signature.inputs.inputs
    assert (images.type, images.shape) == (np.uint8, (-1, -1, -1, 1))
    params = {param.name: param.default for param in signature.params.params}
    assert params == {"output": "latents", "num_samples": 100, "seed": 0}


def test_mlflows_server_answers_as_the_model_does(folder: Path) -> None:
    from mlflow.pyfunc import scoring_server

    model = mlflow.load_model(str(folder))
    with TestClient(scoring_server.init(model)) as client:
        asked = {"inputs": PIXELS.tolist()}
        latents = client.post("/invocations", json=asked)
        scores = client.post("/invocations", json={**asked, "params": {"output": "elbo"}})
    assert latents.json()["predictions"] == model.predict(PIXELS).tolist()
    assert len(scores.json()["predictions"]["elbo_nats"]) == 3


def test_the_folder_has_the_code_and_the_requirements_that_it_needs(folder: Path) -> None:
    assert (folder / "code" / "models" / "pyfunc.py").is_file()
    assert not (folder / "code" / "models" / "pretrained").exists()
    assert not list(folder.rglob("*.pkl"))
    required = (folder / "requirements.txt").read_text()
    assert f"numpy=={np.__version__}" in required
    assert "+" not in required  # a build of torch is the reader's to choose


def test_a_model_with_labels_encodes_given_the_most_probable_one(tmp_path: Path) -> None:
    bundle = load_bundle(make_bundle(tmp_path, "m2"))
    y = bundle.vae.label_logits(X).argmax(-1)
    np.testing.assert_array_equal(
        BundleModel(bundle).predict(PIXELS), bundle.vae.posterior(X, y).mean.numpy()
    )


def test_what_cannot_be_computed_is_refused_with_a_fix(tmp_path: Path) -> None:
    model = BundleModel(load_bundle(make_bundle(tmp_path, "autoencoder")))
    with pytest.raises(UnsupportedOperation, match="tiny is an autoencoder: it has no density"):
        model.predict(PIXELS, {"output": "elbo"})
    with pytest.raises(InputError, match=r"Pass params={'output': 'latents'}\."):
        model.predict(PIXELS, {"output": "latent"})


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it exists, and nothing is overwritten"):
        export_mlflow(tmp_path / "tiny" / "1", tmp_path)


def test_mlflow_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(
        ConfigError, match=r"needs the extra mlflow; mlflow\.pyfunc is not installed"
    ):
        export_mlflow(tmp_path / "tiny" / "1", tmp_path / "model")
