"""`vae-lab import-diffusers`: from a folder of diffusers to a bundle that loads and is served."""

from pathlib import Path

import pytest
import torch

from models.bundle.loading import load_bundle
from models.bundle.schema import CARD, WEIGHTS
from tests.diffusers_models import edit_config, make_autoencoder
from tests.training.vae_lab import exit_code


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "SD VAE"
    make_autoencoder("flux").save_pretrained(made)
    return made


def test_a_folder_becomes_a_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["import-diffusers", str(folder), "-o", "models"]
    assert exit_code(*asked) == 0
    said = capsys.readouterr().out
    assert "The bundle is models/sd-vae/1." in said
    assert "Set VAE_MAX_REQUEST_COST" in said
    bundle = load_bundle(Path("models/sd-vae/1"))
    assert bundle.config.latent_scaling is not None
    assert bundle.config.latent_scaling.scaling_factor == 0.3611
    assert bundle.config.vae.image_shape == (3, 8, 16)
    assert bundle.evaluation.num_images == 0
    card = (bundle.path / CARD).read_text()
    assert "images of 16 x 8 pixels" in card
    assert bundle.config.provenance.dataset_sha256 in card
    edit_config(folder, latents_mean=[0.0] * 16)
    assert exit_code(*asked, "--name", "other", "--height", "16", "--width", "24") == 0
    assert "latents_mean and latents_std are not kept" in capsys.readouterr().out
    assert load_bundle(Path("models/other/1")).config.vae.latent_shape == (16, 4, 6)


def test_a_version_that_exists_is_not_written_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["import-diffusers", str(folder), "--repository", "models", "--version", "1"]
    assert exit_code(*asked) == 0
    assert exit_code(*asked) == 1
    assert "is never overwritten" in capsys.readouterr().err
    assert exit_code(*asked[:-2], "--name", "A B") == 1
    assert "Take --name a-b" in capsys.readouterr().err


def test_a_weight_that_changes_is_found_when_it_loads(folder: Path) -> None:
    """One stored output suffices to find another build, device or reader of weights."""
    from models.errors import BundleCorrupt
    from tests.models.bundle_cases import edit_weights, remake_manifest

    assert exit_code("import-diffusers", str(folder), "-o", "models") == 0
    path = Path("models/sd-vae/1")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["decoder.body.0.weight"] += 0.5

    edit_weights(path, change, name=WEIGHTS)
    remake_manifest(path)
    with pytest.raises(BundleCorrupt, match="likelihood_mean differs"):
        load_bundle(path)
