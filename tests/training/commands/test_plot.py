"""The commands of `vae-lab plot`, as typed."""

import csv
from pathlib import Path

import pytest
import typer.testing
from PIL import Image

from tests.conftest import ROOT
from tests.training.vae_lab import exit_code
from training.commands.plot import PLOTS, app

pytestmark = pytest.mark.slow

BUNDLE = str(ROOT / "models/pretrained/digits/1")
FEW = ["--images", "20"]


def read(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def test_bounds_are_printed_written_and_drawn(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--elbo-samples", "2", "--iwae-samples", "3", *FEW]
    assert exit_code("plot", "bounds", str(run_dir), BUNDLE, *quick, "--csv", "b.csv") == 0
    printed = capsys.readouterr().out
    rows = read("b.csv")
    assert [row["model"] for row in rows] == ["tiny", "digits/1"]
    assert f"{float(rows[1]['elbo_nats']):.3f}" in printed
    assert float(rows[1]["elbo_difference_low_nats"]) > 0
    assert "The figure is bounds.png. The numbers are in b.csv." in printed
    with Image.open("bounds.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("command", "num_rows"),
    [
        (["latents", *FEW], 2),
        (["latent-map", *FEW], 20),
        (["traversals", "--image", "3", "--rows", "1", "--steps", "3"], 1),
        (["traversals", "--origin"], 2),
        (["gradient-variance", "--images", "2", "--samples", "2", "--draws", "20"], 5),
        (["rate-distortion", "--elbo-samples", "2", *FEW], 1),
        (["iwae-gap", "--elbo-samples", "2", "--iwae-samples", "2", *FEW], 1),
        (["estimates", "--images", "2", "--samples", "100", "--ais-steps", "4"], 14),
    ],
)
def test_every_study_of_a_run_becomes_a_figure_and_numbers(
    run_dir: Path, command: list[str], num_rows: int
) -> None:
    name, *options = command
    written = ["--output", "here.png", "--csv", "here.csv"]
    assert exit_code("plot", name, str(run_dir), *options, *written) == 0
    assert len(read("here.csv")) == num_rows
    assert Path("here.png").stat().st_size > 2_000


def test_what_a_model_does_not_have_is_one_line_and_exit_code_2(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("plot", "label-accuracy", str(run_dir)) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert exit_code("plot", "rate-distortion", BUNDLE) == 1
    assert "Name the run's folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(PLOTS))
def test_every_command_has_help_with_an_example(command: str) -> None:
    printed = typer.testing.CliRunner().invoke(app, [command, "--help"]).stdout
    assert f"Example: vae-lab plot {command} " in " ".join(printed.split())
    assert "--csv" in printed
