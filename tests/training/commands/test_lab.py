"""The commands of `vae-lab`, as typed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.training.data.pictures import fill
from tests.training.vae_lab import exit_code
from training.recipes.file import load_recipe
from training.runs.lock import RunLock

pytestmark = pytest.mark.slow

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
    row = next(line for line in evaluated.splitlines() if re.match(r" *ELBO, 2 draws +300 ", line))
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
    assert exit_code(*command[:2], "--run-dir", "there", "--labels-per-class", "3") == 1


def test_groups_stay_whole_in_a_run_and_when_it_is_resumed_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(80):
        pixels = generator.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"p{number % 20}_{number}.png")
    command = ["train", "photos", "--device", "cpu", "--no-tensorboard"]
    changes = ["--set", "training.epochs=1", "--group-by", "^([^_]+)_"]
    assert exit_code(*command, *changes) == 0
    said = "Split: at random by group; 20 groups kept whole."
    assert capsys.readouterr().out.count(said) == 1
    assert load_recipe(tmp_path / "runs/photos/recipe.toml").dataset.group_by == "^([^_]+)_"
    assert exit_code(*command, "--resume") == 0
    assert said in capsys.readouterr().out
    scoring = ["--elbo-samples", "2", "--iwae-samples", "2", "--subset", "0", "--device", "cpu"]
    assert exit_code("evaluate", "runs/photos", *scoring) == 0
    assert exit_code("export", "runs/photos", "--repository", "models", *scoring) == 0
    assert said in (tmp_path / "models/photos/1/README.md").read_text()
    assert exit_code("evaluate", "models/photos/1", *scoring) == 0
    recipe = tmp_path / "runs/photos/recipe.toml"
    recipe.write_text(recipe.read_text().replace("group_by", "# group_by"))
    assert exit_code("evaluate", "runs/photos", *scoring) == 1
    assert "has changed since" in capsys.readouterr().err


def test_own_errors_are_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], recipe: Path
) -> None:
    recipe.write_text(TINY.replace('"digits"', '"minst"'))
    assert exit_code("train", str(recipe), "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: There is no data set 'minst' ")
    assert "Did you mean 'mnist'? Available: digits, " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (
            1,
            ["train", "a/digit.png"],
            "There is no recipe file, folder of pictures or other data at a/digit.png. Check",
        ),
        (2, ["train", "digits", "--precision", "16"], "Use --precision 32-true."),
        (2, ["train", "digits", "--precision", "bf16"], "Use --precision bf16-mixed."),
        (2, ["evaluate", "x", "--subset-samples", "0"], "0 is below 1. Use --subset-samples 1."),
        (2, ["evaluate", "x", "--seed", "-1"], "-1 is below 0. Use --seed 0."),
        (2, ["evaluate", "x", "--ais-steps", "9"], "--ais-steps 9 needs --ais or --bdmc."),
        (2, ["evaluate", "x", "--ais", "--ais-steps", "1"], "1 is below 2. Use --ais-steps 2."),
        (
            2,
            ["evaluate", "x", "--ais", "--ais-start", "refine"],
            "refine is not one of prior, posterior, refined. Use --ais-start refined.",
        ),
        (
            2,
            ["evaluate", "x", "--seed", str(2**63)],
            f"is above {2**63 - 1}. Use --seed {2**63 - 1}.",
        ),
    ],
)
def test_a_wrong_command_line_is_told_what_to_write(
    code: int, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == code
    error = " ".join(capsys.readouterr().err.split())
    assert words in error
    assert "Input should" not in error


def test_resuming_without_a_run_says_that_training_starts(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--device", "cpu", "--set", "training.epochs=1", "--no-tensorboard"]
    assert exit_code("train", str(recipe), "--resume", *options) == 0
    said = "There is no run to resume in runs/small; training starts at step 0."
    assert said in capsys.readouterr().out
    assert exit_code("train", str(recipe), "--resume", *options) == 0
    assert said not in capsys.readouterr().out


def write_pictures(path: Path, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, images)


SHORT = ["--device", "cpu", "--no-tensorboard", "--set", "training.epochs=1"]
SHORT += ["--set", "vae.latent_shape=[2]"]


def test_a_run_goes_on_with_its_own_data_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("a", 0), ("b", 1), ("moved", 0)):
        write_pictures(tmp_path / name / "cells.npy", seed)
    assert exit_code("train", "a/cells.npy", *SHORT) == 0
    checkpoint = (tmp_path / "runs/cells/checkpoint.pt").read_bytes()
    other = "The run in runs/cells is on the data set a/cells.npy, not on b/cells.npy."
    for arguments in ([], ["--resume"]):
        capsys.readouterr()
        assert exit_code("train", "b/cells.npy", *SHORT, *arguments) == 1
        error = capsys.readouterr().err
        assert f"{other} Name another folder for b/cells.npy: --run-dir runs/cells-2" in error
    assert exit_code("train", "moved/cells.npy", *SHORT, "--resume") == 0
    assert "moved/cells.npy has the content of a/cells.npy" in capsys.readouterr().out
    assert exit_code("train", str(tmp_path / "a/cells.npy"), *SHORT, "--resume") == 0
    assert "has the content of" not in capsys.readouterr().out
    assert (tmp_path / "runs/cells/checkpoint.pt").read_bytes() == checkpoint
    write_pictures(tmp_path / "a/cells.npy", 2)
    assert exit_code("train", "a/cells.npy", *SHORT, "--resume") == 1
    assert "has changed since the run began" in capsys.readouterr().err
    (tmp_path / "a/cells.npy").unlink()
    assert exit_code("train", "moved/cells.npy", *SHORT, "--resume") == 0


def test_data_in_other_scripts_have_runs_of_their_own(tmp_path: Path) -> None:
    for seed, name in enumerate(("\u0444\u043e\u0442\u043e", "\u5199\u771f")):
        write_pictures(tmp_path / f"{name}.npy", seed)
        assert exit_code("train", f"{name}.npy", *SHORT) == 0
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(runs) == 2
    assert all(re.fullmatch("pictures-[0-9a-f]{8}", name) for name in runs)


def test_the_name_that_is_set_is_the_name_of_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "cells.npy", 0)
    named = [*SHORT, "--set", "name=mine"]
    assert exit_code("train", "cells.npy", *named) == 0
    assert exit_code("train", "cells.npy", *named) == 1
    assert "There is a run in runs/mine already." in capsys.readouterr().err
    assert exit_code("train", "cells.npy", *named, "--resume") == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]


def test_the_folder_of_a_run_is_no_data_set(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("train", str(run_dir)) == 1
    error = capsys.readouterr().err
    assert f"vae-lab train {run_dir}/recipe.toml --resume --run-dir {run_dir}" in error


def test_a_run_that_is_not_over_is_said_to_be(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("evaluate", str(run_dir), *QUICK) == 0
    assert capsys.readouterr().err == ""
    with RunLock(run_dir, Console(quiet=True)) as lock:
        lock.acquire()
        assert exit_code("evaluate", str(run_dir), *QUICK) == 0
    assert f"Note: the run {run_dir} is being trained by process" in capsys.readouterr().err
    state = json.loads((run_dir / "state.json").read_text())
    (run_dir / "state.json").write_text(json.dumps({**state, "finished": False}))
    assert exit_code("export", str(run_dir), "--repository", "models", *QUICK) == 0
    assert f"Note: the run {run_dir} is not finished." in capsys.readouterr().err


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "foo", "mps", "", "CUDA", "cuda:-1", "0"])
def test_a_device_that_is_not_here_is_refused_by_every_command(
    run_dir: Path, device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for command in (["train", "digits"], ["evaluate", str(run_dir)], ["export", str(run_dir)]):
        assert exit_code(*command, "--device", device) == 1
        error = capsys.readouterr().err
        assert error == (
            f"Error: --device {device}: this machine has no such device. Allowed here: auto, "
            "cpu. Take --device auto.\n"
        )
    assert not Path("runs/digits").exists()


@pytest.mark.parametrize("version", ["0", "-1", "latest", "01x"])
def test_versions_are_positive_numbers_or_next(
    run_dir: Path, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("export", str(run_dir), f"--version={version}", *QUICK) == 1
    error = capsys.readouterr().err
    assert f"--version {version} is not allowed. Allowed: a positive number, or next." in error


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


def test_annealing_is_said_first_printed_and_stands_on_the_card(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*QUICK, "--ais-images", "2", "--bdmc", "--bdmc-images", "2", "--ais-steps", "3"]
    assert exit_code("evaluate", str(run_dir), *options, "--ais-start", "posterior") == 0
    printed = capsys.readouterr().out
    assert "AIS of 2 of them, BDMC of 2 simulated ones; about" in printed
    rows = ("AIS from the encoder's q, 3 steps", "AIS minus refined", "BDMC gap, simulated images")
    assert all(row in printed for row in rows)
    assert exit_code("export", str(run_dir), "--repository", "models") == 0
    card = Path("models/tiny/1/README.md").read_text()
    assert all(f"\n| {row} | 2 |" in card for row in rows)


def test_evaluating_what_is_neither_run_nor_bundle_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("evaluate", str(tmp_path / "nothing")) == 1
    assert "There is no run or bundle at" in (error := capsys.readouterr().err)
    assert "nothing" in error


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
    assert "Recipe for the " in printed
    reasons = [line[2:] for line in printed.splitlines() if line.startswith("- ")]
    assert reasons[0] == "colour: grey, because no picture has colour."
    stored = (tmp_path / "runs/small-pictures/recipe.toml").read_text()
    assert all(f"# {reason}\n" in stored for reason in reasons)
    assert exit_code(*train, "--resume") == 0
    assert "Recipe for the " not in capsys.readouterr().out
    assert exit_code("export", "runs/small-pictures", "--repository", "models", *QUICK) == 0
    config = (tmp_path / "models/small-pictures/1/config.json").read_text()
    assert "because all pictures have it" in config


def test_a_folder_is_trained_with_its_doubts_said_and_every_file_left_out_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "pets" / "cats", 20)
    fill(tmp_path / "pets" / "dogs", 20, start=20)
    fill(tmp_path / "pets", 1, start=99)
    for number in range(25):
        (tmp_path / "pets" / f"{number}.txt").write_text("hello")
    changes = ["--set", "training.epochs=1", "--set", "vae.latent_shape=[2]", "--no-tensorboard"]
    assert exit_code("train", "pets", "--device", "cpu", *changes) == 0
    printed = capsys.readouterr().out
    assert "Warning: 1 picture is left out, such as '99.png'" in printed
    assert "Left out: 26 files, each listed with its reason in runs/pets/left-out.csv." in printed
    lines = (tmp_path / "runs/pets/left-out.csv").read_text().splitlines()
    assert len(lines) == 27
    assert '99.png,"beside the class folders, and so without a class"' in lines


def test_a_test_split_of_one_picture_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "pets" / "train", 30)
    fill(tmp_path / "pets" / "test", 1, start=50)
    assert exit_code("train", "pets", "--device", "cpu") == 1
    error = capsys.readouterr().err
    assert "pets cannot be trained on. The test split has 1 picture; " in error
    assert not (tmp_path / "runs" / "pets" / "recipe.toml").exists()
    assert exit_code("datasets", "show", "pets") == 0
    assert "Warning: The test split has 1 picture; " in capsys.readouterr().out


def test_asked_changes_reach_the_choice(pictures: Path, tmp_path: Path) -> None:
    changes = ["--set", "image.height=24", "--set", "training.epochs=1", "--precision", "32-true"]
    train = ["train", str(pictures), "--device", "cpu", "--run-dir", "here", "--no-tensorboard"]
    assert exit_code(*train, *changes) == 0
    written = (tmp_path / "here/recipe.toml").read_text()
    for line in ("height = 24", "width = 26", "epochs = 1", 'precision = "32-true"'):
        assert line in written


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    printed = capsys.readouterr().out
    for command in ("train", "compare", "compare-runs", "evaluate", "export", "datasets", "plot"):
        assert command in printed


@pytest.mark.parametrize(
    "command", ["train", "compare", "compare-runs", "evaluate", "export", "datasets"]
)
def test_every_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(command, "--help") == 0
    assert f"Example: vae-lab {command}" in " ".join(capsys.readouterr().out.split())
