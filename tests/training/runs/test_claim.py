"""A run's folder holds one run: of one recipe, on one data set."""

import json
import shutil
from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.training.conftest import RECIPE
from training.recipes.recipe import DatasetConfig, Recipe
from training.runs.claim import create_or_verify, free_folder, is_begun, refuse_taken
from training.runs.provenance import STARTS


def longer(epochs: int) -> Recipe:
    training = RECIPE.training.model_copy(update={"epochs": epochs})
    return RECIPE.model_copy(update={"training": training})


def test_a_folder_with_a_run_is_resumed_with_its_own_recipe_only(run_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"a run in .*/tiny already\. Add --resume .*/tiny-2"):
        create_or_verify(run_dir, RECIPE, resume=False)
    create_or_verify(run_dir, RECIPE, resume=True)
    other = longer(4).model_copy(update={"seed": 6})
    with pytest.raises(ConfigError, match=r"values of seed, training\.epochs\.") as caught:
        create_or_verify(run_dir, other, resume=True)
    assert str(caught.value).endswith(
        f"vae-lab train {run_dir}/recipe.toml --resume --run-dir {run_dir}"
    )
    assert caught.value.details["received"] == ["seed", "training.epochs"]


def test_more_epochs_are_a_new_run_that_starts_from_the_weights(run_dir: Path) -> None:
    command = (
        f"vae-lab train {run_dir}/recipe.toml --set start=tiny --set training.epochs=4 "
        f"--run-dir {run_dir}-2"
    )
    with pytest.raises(ConfigError, match=r"values of training\.epochs\. Its length is") as caught:
        create_or_verify(run_dir, longer(7), resume=True)
    assert str(caught.value).endswith(f"Start a new run from its weights: {command}")
    state = json.loads((run_dir / "state.json").read_text())
    (run_dir / "state.json").write_text(json.dumps({**state, "finished": False}))
    with pytest.raises(ConfigError, match=r"Finish it \(vae-lab train .* --resume") as caught:
        create_or_verify(run_dir, longer(7), resume=True)
    assert str(caught.value).endswith(command)
    with pytest.raises(ConfigError, match="go on with its own recipe"):
        create_or_verify(run_dir, longer(2), resume=True)


def test_the_commands_of_a_message_can_be_pasted_whatever_the_folder_is_called(
    run_dir: Path,
) -> None:
    spaced = run_dir.rename(run_dir.with_name("my run"))
    with pytest.raises(ConfigError, match=r"--run-dir '.*/my run-2'$"):
        create_or_verify(spaced, RECIPE, resume=False)


def test_a_folder_with_the_run_of_other_data_is_refused_with_both_names(run_dir: Path) -> None:
    other = RECIPE.model_copy(update={"dataset": DatasetConfig(name="b/photos")})
    with pytest.raises(ConfigError, match=r"is on the data set digits, not on b/photos\. .*tiny-2"):
        create_or_verify(run_dir, other, resume=False)
    with pytest.raises(ConfigError, match=r"a run in .* already"):
        refuse_taken(run_dir, "./digits")


def test_a_start_that_took_no_step_gives_its_folder_away(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    create_or_verify(folder, RECIPE, resume=False)
    assert is_begun(folder)  # without a line of starts it may be a recipe of the user's own
    (folder / STARTS).write_text("{}\n")
    assert not is_begun(folder)
    create_or_verify(folder, longer(9), resume=False)
    assert "epochs = 9" in (folder / "recipe.toml").read_text()


def test_a_run_without_its_recipe_is_not_written_over(run_dir: Path) -> None:
    (run_dir / "recipe.toml").unlink()
    for resume in (True, False):
        with pytest.raises(ConfigError, match=r"holds best\.safetensors of a run, but no recipe"):
            create_or_verify(run_dir, RECIPE, resume=resume)


def test_the_free_folder_is_the_first_that_does_not_exist(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run_dir, run_dir.with_name("tiny-2"))
    assert free_folder(run_dir) == run_dir.with_name("tiny-3")
    monkeypatch.chdir(run_dir)
    assert free_folder(Path()) == run_dir.with_name("tiny-3")
