"""Trained models: runs and bundles with their test images, and their evaluation."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from models.bundle.loading import load_bundle
from models.config import ContinuousBernoulliConfig
from models.errors import BundleNotFound, ConfigError, InputError
from models.vae.model import VAE
from tests.conftest import ROOT
from tests.training.conftest import QUICK, RECIPE
from training.data.subset import choose_subset
from training.evaluation.trained import TrainedModel, load_trained_model

DIGITS = ROOT / "models/pretrained/digits/1"


def test_a_run_has_its_recipe_weights_and_provenance(run_dir: Path) -> None:
    model = load_trained_model(run_dir)
    assert (model.name, model.path) == ("tiny", run_dir)
    assert model.recipe == RECIPE
    assert not model.vae.training
    provenance = model.provenance
    assert (provenance.seed, provenance.dataset, provenance.epochs) == (5, "digits", 3)
    assert provenance.training_seconds == 1.5
    assert provenance.recipe == (run_dir / "recipe.toml").read_text()


def test_a_bundle_has_a_version_and_no_recipe() -> None:
    model, bundle = load_trained_model(DIGITS, num_images=7), load_bundle(DIGITS)
    assert (model.name, model.recipe, len(model.x)) == ("digits/1", None, 7)
    assert model.provenance == bundle.config.provenance
    weights = model.vae.state_dict()
    assert all(torch.equal(weights[name], t) for name, t in bundle.vae.state_dict().items())


def test_the_test_split_comes_whole_and_in_order_as_the_model_takes_it(run_dir: Path) -> None:
    model = load_trained_model(run_dir)
    assert model.labels is not None
    assert len(model.x) == len(model.labels) == 300
    assert torch.equal(model.x[:, 0], torch.from_numpy(model.dataset.test.images).float())
    assert model.describe() == "tiny: digits, test split, n = 300"


def test_a_subset_is_random_with_its_own_labels_and_the_same_every_time(run_dir: Path) -> None:
    some, everything = load_trained_model(run_dir, num_images=20), load_trained_model(run_dir)
    chosen = choose_subset(300, 20, seed=0)
    assert torch.equal(some.x, everything.x[chosen])
    assert some.labels is not None
    assert everything.labels is not None
    assert torch.equal(some.labels, everything.labels[chosen])
    with pytest.raises(InputError, match=r"Take --images 2 or more, or --images 0 for all\."):
        load_trained_model(run_dir, num_images=1)


def test_a_path_without_a_model_is_refused_with_what_is_near_it(run_dir: Path) -> None:
    with pytest.raises(BundleNotFound, match=r"no run or bundle at .*Did you mean .*/tiny\?"):
        load_trained_model(run_dir.with_name("tinny"))
    with pytest.raises(BundleNotFound, match=r"at .*/x\. Name a folder that exists"):
        load_trained_model(run_dir / "x")
    with pytest.raises(BundleNotFound, match=r"digits is no run, .*Did you mean .*digits/1\?"):
        load_trained_model(DIGITS.parent)
    (run_dir / "empty").mkdir()
    with pytest.raises(BundleNotFound, match=r"empty is no run, .*Name another folder"):
        load_trained_model(run_dir / "empty")


def test_a_run_without_weights_is_refused_with_what_it_lacks(run_dir: Path) -> None:
    (run_dir / "best.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"has no weights yet: it lacks best\.safetensors"):
        load_trained_model(run_dir)


def test_weights_of_another_model_are_refused(run_dir: Path) -> None:
    save_file({"other": torch.zeros(1)}, run_dir / "best.safetensors")
    with pytest.raises(ConfigError, match=r"safetensors holds the weights of another model"):
        load_trained_model(run_dir)


def test_damaged_weights_are_refused(run_dir: Path) -> None:
    (run_dir / "best.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"safetensors is damaged: .*Restore it"):
        load_trained_model(run_dir)


def test_a_state_without_provenance_is_refused(run_dir: Path) -> None:
    state = json.loads((run_dir / "state.json").read_text())
    del state["seed"], state["seconds"]
    (run_dir / "state.json").write_text(json.dumps(state))
    with pytest.raises(ConfigError, match=r"state\.json has no valid seed, seconds\. Restore"):
        load_trained_model(run_dir)


def test_other_data_than_trained_on_are_refused(run_dir: Path) -> None:
    state = json.loads((run_dir / "state.json").read_text())
    (run_dir / "state.json").write_text(json.dumps({**state, "dataset_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match=r"digits has changed since tiny was trained.*--data-dir"):
        load_trained_model(run_dir)


def test_an_evaluation_of_a_run_is_stored_and_has_baselines(run_dir: Path) -> None:
    model = load_trained_model(run_dir)
    evaluation = model.evaluate(settings=QUICK)
    assert model.stored_evaluation(QUICK) == evaluation
    kinds = ["histogram", "png", "png_stacked", "webp", "webp_stacked"]
    assert [baseline.kind for baseline in evaluation.baselines] == kinds
    assert {baseline.n for baseline in evaluation.baselines} == {300}
    assert round(evaluation.baselines[0].bits_per_dim, 4) == 2.4276
    assert [r.kind for r in evaluation.reconstructions] == ["model", "pca"]
    assert {e.n for e in evaluation.embeddings} == {300}


def test_an_evaluation_says_what_to_try_where_a_pca_reconstructs_better(run_dir: Path) -> None:
    console = Console(file=StringIO(), width=80)
    load_trained_model(run_dir).evaluate(settings=QUICK, console=console)
    (line,) = [
        line
        for line in console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        if line.startswith("Warning: ")
    ]
    assert line.startswith("Warning: Reconstructions are worse than those of a PCA with 2 comp")
    assert "Train again with --set vae.principal_path=true, to begin at that PCA." in line


def test_an_evaluation_of_a_bundle_leaves_its_folder_as_it_is() -> None:
    before = {path: path.read_bytes() for path in DIGITS.iterdir()}
    evaluation = load_trained_model(DIGITS, num_images=20).evaluate(settings=QUICK)
    assert evaluation.num_images == 20
    assert {path: path.read_bytes() for path in DIGITS.iterdir()} == before


def as_density(model: TrainedModel) -> TrainedModel:
    """The run with a continuous likelihood and torch's initial weights."""
    config = model.vae.config.model_copy(update={"likelihood": ContinuousBernoulliConfig()})
    spec = model.spec.model_copy(update={"values": "unit"})
    return replace(model, vae=VAE(config).freeze(), spec=spec, x=model.x / 16)


def test_an_evaluation_of_a_density_has_no_baselines_to_compare_with(run_dir: Path) -> None:
    model = as_density(load_trained_model(run_dir))
    evaluation = model.evaluate(settings=QUICK)
    assert evaluation.baselines == ()
    assert model.stored_evaluation(QUICK) == evaluation
