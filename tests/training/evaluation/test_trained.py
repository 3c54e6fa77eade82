"""Reading a run's folder, and keeping the evaluation of its weights."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.config import ContinuousBernoulliConfig
from models.errors import ConfigError
from models.vae.model import VAE
from tests.training.conftest import RECIPE
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.stored import EVALUATION
from training.evaluation.trained import is_run, load_run, load_test_images

QUICK = EvaluationSettings(elbo_num_samples=1, iwae_num_samples=1, subset_num_images=0)


def test_run_has_its_recipe_weights_and_provenance(run_dir: Path) -> None:
    run = load_run(run_dir)
    assert is_run(run_dir)
    assert run.recipe == RECIPE
    assert not run.vae.training
    provenance = run.provenance()
    assert (provenance.seed, provenance.dataset, provenance.epochs) == (5, "digits", 3)
    assert provenance.training_seconds == 1.5
    assert provenance.recipe == (run_dir / "recipe.toml").read_text()


def test_folder_without_weights_is_refused_with_what_it_lacks(run_dir: Path) -> None:
    (run_dir / "best.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"lacks best.safetensors"):
        load_run(run_dir)


def test_weights_of_another_model_are_refused(run_dir: Path) -> None:
    save_file({"other": torch.zeros(1)}, run_dir / "best.safetensors")
    with pytest.raises(ConfigError, match="Train again"):
        load_run(run_dir)


def test_state_without_provenance_is_refused(run_dir: Path) -> None:
    (run_dir / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"state.json says where the weights come from"):
        load_run(run_dir).provenance()


def test_other_data_than_trained_on_are_refused(run_dir: Path) -> None:
    run = load_run(run_dir)
    state = json.loads((run_dir / "state.json").read_text())
    (run_dir / "state.json").write_text(json.dumps({**state, "dataset_sha256": "0" * 64}))
    changed = load_run(run_dir).provenance()
    assert load_test_images(run.provenance(), RECIPE.image, data_dir=None)[1].shape[0] == 300
    with pytest.raises(ConfigError, match="data that it was trained on"):
        load_test_images(changed, RECIPE.image, data_dir=None)


def test_test_images_are_the_levels_of_the_data_exactly(run_dir: Path) -> None:
    dataset, x = load_test_images(load_run(run_dir).provenance(), RECIPE.image, data_dir=None)
    assert torch.equal(x[:, 0], torch.from_numpy(dataset.test.images).float())


def test_evaluation_is_kept_for_the_same_weights_and_settings_only(run_dir: Path) -> None:
    run = load_run(run_dir)
    evaluation = run.evaluate(settings=QUICK)
    assert run.stored_evaluation(QUICK) == evaluation
    assert run.stored_evaluation(EvaluationSettings()) is None
    other = run.vae.state_dict()
    save_file({name: tensor + 1 for name, tensor in other.items()}, run_dir / "best.safetensors")
    assert load_run(run_dir).stored_evaluation(QUICK) is None


def test_unreadable_evaluation_is_made_anew(run_dir: Path) -> None:
    assert load_run(run_dir).stored_evaluation(QUICK) is None
    (run_dir / EVALUATION).write_text("{}")
    assert load_run(run_dir).stored_evaluation(QUICK) is None


def test_evaluation_of_a_mass_has_baselines_and_one_without_them_is_made_anew(
    run_dir: Path,
) -> None:
    run = load_run(run_dir)
    evaluation = run.evaluate(settings=QUICK)
    kinds = ["histogram", "png", "png_stacked", "webp", "webp_stacked"]
    assert [baseline.kind for baseline in evaluation.baselines] == kinds
    assert {baseline.n for baseline in evaluation.baselines} == {300}
    assert round(evaluation.baselines[0].bits_per_dim, 4) == 2.4276
    stored = json.loads((run_dir / EVALUATION).read_text())
    del stored["evaluation"]["baselines"]
    (run_dir / EVALUATION).write_text(json.dumps(stored))
    assert run.stored_evaluation(QUICK) is None


def test_evaluation_of_a_density_has_no_baselines_to_compare_with(run_dir: Path) -> None:
    likelihood = ContinuousBernoulliConfig()
    recipe = RECIPE.model_copy(
        update={
            "vae": RECIPE.vae.model_copy(update={"likelihood": likelihood}),
            "image": RECIPE.image.model_copy(update={"values": "unit"}),
        }
    )
    vae = VAE(recipe.vae).eval().requires_grad_(False)
    run = replace(load_run(run_dir), recipe=recipe, vae=vae)
    evaluation = run.evaluate(settings=QUICK)
    assert evaluation.baselines == ()
    assert run.stored_evaluation(QUICK) == evaluation
