"""The command `vae-lab compare`, as typed."""

import csv
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.vae_lab import exit_code

pytestmark = pytest.mark.slow

BUNDLE = str(ROOT / "models/pretrained/digits/1")
QUICK = ["--elbo-samples", "2", "--iwae-samples", "3", "--images", "20"]


def test_models_are_compared_by_paired_differences(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compare", str(run_dir), BUNDLE, *QUICK, "--csv", "c.csv") == 0
    printed = capsys.readouterr().out
    with Path("c.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["model"], second["model"]) == ("tiny", "digits/1")
    low, high = (float(second[f"log_px_difference_{end}_nats"]) for end in ("low", "high"))
    assert f"IWAE, K = 3: {float(second['log_px_difference_nats']):+.2f} nats per image" in printed
    assert f"95 % from {low:+.2f} to {high:+.2f}: higher." in printed
    assert "The numbers are in c.csv." in printed
    assert exit_code("compare", str(run_dir), BUNDLE, *QUICK) == 0
    assert "c.csv" not in capsys.readouterr().out


def test_one_model_is_no_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compare", BUNDLE) == 2
    assert "Name two: vae-lab compare A B." in " ".join(capsys.readouterr().err.split())
