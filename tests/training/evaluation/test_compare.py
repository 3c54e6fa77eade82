"""Runs side by side."""

import json
import shutil
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from rich.console import Console

from models.bundle.schema import Classification, Evaluation
from models.errors import ConfigError
from training.evaluation.compare import compare_runs, list_test_scores, name_validation_bound
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.trained import load_trained_model
from training.recipes.objective import ObjectiveConfig
from training.runs.folder import STATE, append_line


@pytest.fixture
def other_dir(run_dir: Path) -> Path:
    """The same run with another learning rate and objective, as older code left it: no errors."""
    path = run_dir.with_name("other")
    shutil.copytree(run_dir, path)
    recipe = path / "recipe.toml"
    changed = recipe.read_text().replace("learning_rate = 0.001", "learning_rate = 0.002")
    elbo = 'kind = "elbo"\nnum_samples = 1\nbeta = 1.0\nkl = "analytic"\ngradient = "auto"\n'
    elbo += "free_bits_nats = 0.0"
    assert elbo in changed
    recipe.write_text(changed.replace(elbo, 'kind = "iwae"\nnum_samples = 5'))
    state = json.loads((path / STATE).read_text())
    for name in ("stopped_because", "best_validation_standard_error_nats"):
        del state[name]
    (path / STATE).write_text(json.dumps({**state, "finished": False, "seconds": 90}))
    return path


def rows(*paths: Path) -> dict[str, list[str]]:
    table = compare_runs(paths)
    with (console := Console(width=250)).capture() as printed:
        console.print(table)
    assert "one standard error" in printed.get()
    first, *columns = (list(column.cells) for column in table.columns)
    return {name: list(cells) for name, *cells in zip(first, *columns, strict=True)}


def test_runs_are_compared_by_bounds_with_errors_sizes_time_and_differences(
    run_dir: Path, other_dir: Path
):
    settings = EvaluationSettings(
        elbo_num_samples=2, iwae_num_samples=3, subset_num_images=4, subset_num_samples=(5,)
    )
    evaluation = load_trained_model(run_dir).evaluate(settings=settings)
    append_line(run_dir / "log.jsonl", {"epoch": 3, "step": 27})
    found = rows(run_dir, other_dir)
    assert found["validation ELBO"] == ["-150.00 +- 1.50", "-"]
    assert found["validation IWAE, K = 5"] == ["-", "-150.00"]
    whole, iwae, subset, by_difference = evaluation.estimates
    for name, estimate in {
        f"test ELBO, 2 draws ({whole.n:,} images)": whole,
        f"test IWAE, K = 3 ({iwae.n:,} images)": iwae,
        "test IWAE, K = 5 (4 images)": subset,
        f"test IWAE, K = 5, by difference ({iwae.n:,} images)": by_difference,
    }.items():
        error = estimate.standard_error_nats
        assert found[name] == [f"{estimate.mean_nats:.2f} +- {error:.2f}", "-"]
    tightest = min(iwae.bits_per_dim, by_difference.bits_per_dim)
    assert found["bits per dim, tightest bound"][0] == f"{tightest:.4f}"
    own, pca = (f"{r.mean_squared_error:.5f}" for r in evaluation.reconstructions)
    assert found["test squared error per pixel"][0] == own
    assert found["test squared error per pixel of a PCA of as many numbers"][0] == pca
    probe = 100 * evaluation.embeddings[0].linear_accuracy
    assert found["test labels right by a linear probe, %"][0].startswith(f"{probe:.1f} (")
    assert found["trained for"] == ["0.0 min", "1.5 min"]
    assert found["best epoch"] == ["3 of 3", "3"]
    assert found["ended"] == ["all 3 epochs are done", "not finished"]
    assert found["optimizer.learning_rate"] == ["0.001", "0.002"]
    assert found["objective.kind"] == ["elbo", "iwae"]
    assert not {"seed", "dataset.name", "vae.latent_shape", "dataset_sha256"} & found.keys()


def test_an_evaluation_of_other_weights_is_left_out(run_dir: Path):
    settings = EvaluationSettings(elbo_num_samples=2, iwae_num_samples=2, subset_num_images=0)
    load_trained_model(run_dir).evaluate(settings=settings)
    path = run_dir / "evaluation.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "weights_sha256": "0" * 64}))
    assert not [name for name in rows(run_dir) if name.startswith("test")]


def test_runs_of_one_name_are_told_apart_by_their_paths(run_dir: Path, tmp_path: Path):
    again = tmp_path / "again" / run_dir.name
    shutil.copytree(run_dir, again)
    table = compare_runs([run_dir, again])
    assert [column.header for column in table.columns] == ["", str(run_dir), str(again)]


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ({"kind": "elbo"}, "ELBO"),
        ({"kind": "elbo", "beta": 4.0}, "ELBO, beta = 4"),
        ({"kind": "iwae", "num_samples": 7}, "IWAE, K = 7"),
        ({"kind": "capacity", "capacity_nats": 8.0}, "ELBO, KL held at 8"),
        ({"kind": "autoencoder"}, "-squared error"),
        ({"kind": "m2"}, "ELBO"),
    ],
)
def test_what_a_run_is_validated_by_is_named(objective: dict[str, object], words: str):
    assert name_validation_bound(TypeAdapter(ObjectiveConfig).validate_python(objective)) == words


def test_an_evaluation_without_scores_has_rows_of_its_own():
    found = Classification(method="bayes", num_samples=2, n=9, accuracy=0.5, standard_error=0.1)
    evaluation = Evaluation(
        dataset="digits",
        split="test",
        num_images=9,
        estimates=(),
        active_units=2,
        squared_error=1.25,
        classification=found,
    )
    assert list_test_scores(evaluation) == {
        "test squared error": "1.2500",
        "test labels right, %": "50.00 (22.65 to 77.35)",
        "active units": "2",
    }


def test_what_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"There is no run at .*it has no recipe\.toml"):
        compare_runs([tmp_path])
