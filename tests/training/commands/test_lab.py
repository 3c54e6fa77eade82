"""The commands of `vae-lab`, as typed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigError
from training.commands.lab import find_recipe, main

QUICK = ["--elbo-samples", "2", "--iwae-samples", "2", "--subset", "0", "--device", "cpu"]
TINY = """
name = "small"
[dataset]
name = "digits"
[image]
channels = 1
height = 8
width = 8
levels = 17
[vae]
latent_shape = [2]
likelihood = { kind = "discretized_logistic", levels = 17 }
encoder = { kind = "mlp", hidden = [8] }
decoder = { kind = "mlp", hidden = [8] }
[training]
epochs = 2
batch_size = 400
"""


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TINY)
    return path


def test_a_recipe_becomes_a_bundle_by_three_commands(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("train", str(recipe), "--set", "seed=9", "--device", "cpu") == 0
    assert "runs/small" in capsys.readouterr().out
    assert exit_code("evaluate", "runs/small", *QUICK) == 0
    evaluated = capsys.readouterr().out
    assert exit_code("export", "runs/small", "--repository", "models", *QUICK) == 0
    exported = capsys.readouterr().out
    assert (tmp_path / "models/small/1/manifest.json").is_file()
    row = next(
        line for line in evaluated.splitlines() if "ELBO, 2 draws" in line and "left" not in line
    )
    assert row in exported
    assert exit_code("evaluate", "models/small/1", *QUICK) == 0
    assert row in capsys.readouterr().out


def test_overrides_and_precision_reach_the_run(recipe: Path, tmp_path: Path) -> None:
    command = ["train", str(recipe), "--run-dir", "here", "--device", "cpu"]
    changes = ["--set", "training.epochs=1", "--precision", "bf16-mixed", "--set", "seed=9"]
    assert exit_code(*command, *changes) == 0
    written = (tmp_path / "here/recipe.toml").read_text()
    for line in ("epochs = 1", 'precision = "bf16-mixed"', "seed = 9"):
        assert line in written


def test_the_number_of_known_labels_reaches_the_run(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(
        TINY.replace("[training]", "classifier = { kind = 'mlp' }\nnum_labels = 10\n[training]")
        + '[objective]\nkind = "m2"\n'
    )
    command = ["train", str(recipe), "--run-dir", "here", "--device", "cpu"]
    assert exit_code(*command, "--labels-per-class", "3", "--set", "training.epochs=1") == 0
    assert "labels_per_class = 3" in (tmp_path / "here/recipe.toml").read_text()
    recipe.write_text(TINY)
    assert exit_code(*command[:2], "--run-dir", "there", "--labels-per-class", "3") == 2


def test_own_errors_are_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], recipe: Path
) -> None:
    recipe.write_text(TINY.replace('"digits"', '"minst"'))
    assert exit_code("train", str(recipe), "--device", "cpu") == 2
    error = capsys.readouterr().err
    assert error.startswith("vae-lab: A data set is one of digits")
    assert error.count("\n") == 1


@pytest.mark.parametrize("version", ["0", "-1", "latest", "01x"])
def test_versions_are_positive_numbers_or_next(
    run_dir: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("export", str(run_dir), f"--version={version}", *QUICK) == 2
    assert "positive number or next" in capsys.readouterr().err


def test_export_takes_a_name_and_a_version(run_dir: Path, tmp_path: Path) -> None:
    options = ["--repository", "models", "--name", "mine", "--version", "3"]
    assert exit_code("export", str(run_dir), *options, *QUICK) == 0
    assert (tmp_path / "models/mine/3/config.json").is_file()


def test_subset_samples_may_be_repeated_in_any_order(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*QUICK, "--subset", "4", "--subset-samples", "8", "--subset-samples", "4"]
    assert exit_code("evaluate", str(run_dir), *options) == 0
    printed = capsys.readouterr().out
    assert printed.index("IWAE, K = 4") < printed.rindex("IWAE, K = 8")


def test_evaluating_what_is_neither_run_nor_bundle_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("evaluate", str(tmp_path / "nothing")) == 2
    assert "There is no run or bundle at" in capsys.readouterr().err


def test_shipped_recipes_are_found_by_name_and_come_before_data_sets(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    found = find_recipe("digits")
    assert found is not None
    assert found.name == "digits.toml"


@pytest.mark.parametrize("source", ["frey-faces", "pictures", "cats.npz"])
def test_data_sets_have_no_recipe(source: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "cats.npz").touch()
    assert find_recipe(source) is None


def test_what_is_neither_recipe_nor_data_set_is_refused_with_the_names_of_both() -> None:
    with pytest.raises(ConfigError, match=r"shipped one \(.*digits, .*frey-faces, .*'nope'"):
        find_recipe("nope")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """An .npz of 60 small grey pictures."""
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 13), dtype=np.uint8)
    np.savez(tmp_path / "Small Pictures.npz", images=images)
    return tmp_path / "Small Pictures.npz"


def test_pictures_become_a_bundle_without_a_recipe(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--set", "training.epochs=1", "--set", "vae.latent_shape=[2]"]
    train = ["train", pictures.name, "--device", "cpu", "--no-tensorboard", *changes]
    assert exit_code(*train) == 0
    printed = capsys.readouterr().out
    assert "A recipe for the " in printed
    reasons = [line[2:] for line in printed.splitlines() if line.startswith("- ")]
    assert reasons[0] == "colour: grey, because 0 % of the pictures have colour."
    stored = (tmp_path / "runs/small-pictures/recipe.toml").read_text()
    assert all(f"# {reason}\n" in stored for reason in reasons)
    assert exit_code(*train, "--resume") == 0
    assert "A recipe for the " not in capsys.readouterr().out
    assert exit_code("export", "runs/small-pictures", "--repository", "models", *QUICK) == 0
    config = (tmp_path / "models/small-pictures/1/config.json").read_text()
    assert "because all pictures have it." in config


def test_asked_changes_reach_the_choice(pictures: Path, tmp_path: Path) -> None:
    changes = ["--set", "image.height=24", "--set", "training.epochs=1", "--precision", "32-true"]
    train = ["train", str(pictures), "--device", "cpu", "--run-dir", "here", "--no-tensorboard"]
    assert exit_code(*train, *changes) == 0
    written = (tmp_path / "here/recipe.toml").read_text()
    for line in ("height = 24", "width = 26", "epochs = 1", 'precision = "32-true"'):
        assert line in written


def test_datasets_are_listed_with_whether_they_are_at_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "--data-dir", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[1]: line for line in lines if "x8x8" in line or "1x28x20" in line}
    assert "yes" in found["digits"]
    assert "1197/300/300" in found["digits"]
    assert "no" in found["frey-faces"].split()


def test_dataset_is_shown_as_a_picture_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "show", "digits") == 0
    printed = capsys.readouterr().out
    assert "1,197" in printed
    assert "d522fc1a" in printed
    assert "Training images by class: 0 " in printed
    with Image.open(io.BytesIO((tmp_path / "digits.png").read_bytes())) as picture:
        assert picture.size == (530, 530)


def test_a_folder_of_images_is_shown_with_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my [photos]"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (40 + number, 30), (9 * number, 0, 90)).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("hello")
    assert exit_code("datasets", "show", str(folder), "--output", str(tmp_path / "grid.png")) == 0
    printed = capsys.readouterr().out
    assert "notes.txt" in printed
    assert "my [photos]: the pictures of a folder. Licence: not stated." in printed
    assert "20 sizes from 40 to 59 wide, 30 to 30 high" in printed
    assert "Modes: RGB, 8 bits 20" in printed
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.mode == "RGB"


def test_showing_absent_data_says_where_to_put_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("datasets", "show", "bccd", "--data-dir", str(tmp_path)) == 2
    assert "bccd_cells_32x32.npz" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    printed = capsys.readouterr().out
    for command in ("train", "evaluate", "export", "datasets"):
        assert command in printed
