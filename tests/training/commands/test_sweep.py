"""The command `vae-lab sweep`, as typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.signals import Signalled
from tests.training.studies.sweep_cases import RATES, SMALL
from tests.training.vae_lab import exit_code
from training.recipes.file import load_recipe
from training.studies.sweep_trials import Trials

pytestmark = pytest.mark.slow

OPTIONS = ["--device", "cpu", "--no-tensorboard"]
OPTIONS += [word for override in SMALL for word in ("--set", override)]
SWEEP = ["sweep", "digits", "--vary", RATES, *OPTIONS]


def test_a_sweep_ends_with_a_table_and_a_recipe_that_train_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["--vary", "training.batch_size=300,600", "--trials", "3", "--seed", "7"]
    assert exit_code(*SWEEP, *changes) == 0
    out = capsys.readouterr().out
    assert f"Sweep in runs/digits-sweep: 0 of 3 trials begun. Varied: {RATES[:24]}" in out
    assert "runs/digits-sweep: ELBO, nats per image" in out
    assert "Importances (PED-ANOVA over 3 complete trials): " in out
    assert "The best of 3 trials (3 complete) of the sweep runs/digits-sweep: trial " in out
    assert "It was chosen by that bound, which is therefore optimistic." in out
    assert "Score it once on the test split: vae-lab evaluate runs/digits-sweep/trial-000" in out
    assert "Train it: vae-lab train runs/digits-sweep/best.toml" in out
    assert load_recipe(tmp_path / "runs/digits-sweep/base.toml").seed == 7
    assert exit_code("train", "runs/digits-sweep/best.toml", *OPTIONS[:3]) == 0
    assert (tmp_path / "runs/digits-best/best.safetensors").is_file()
    capsys.readouterr()
    assert exit_code(*SWEEP, *changes, "--resume") == 0
    out = capsys.readouterr().out
    assert "3 of 3 trials begun" in out
    assert "no sweep to go on with" not in out
    assert exit_code(*SWEEP, *changes, "--seed", "8") == 1
    error = capsys.readouterr().err
    assert "runs/digits-sweep holds another sweep: seed differ." in error
    assert error.rstrip().endswith("--sweep-dir runs/digits-sweep-2")


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*SWEEP, "--trials", "2", "--json", "--resume", "--sweep-dir", "here") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["sweep"] == "here"
    assert found["bound"] == "ELBO, nats per image"
    assert found["varied"] == [RATES.replace("1e-3", "0.001").replace("1e-1", "0.1")]
    assert found["importances"] == {"optimizer.learning_rate": 1.0}
    best = found["trials"][found["best_trial"]]
    assert best["state"] == "complete"
    assert best["run"] == f"here/trial-000{best['trial']}"
    assert best["bound_nats"] == max(trial["bound_nats"] for trial in found["trials"])
    assert 0 < best["standard_error_nats"] < 10
    assert best["values"].keys() == {"optimizer.learning_rate"}
    assert "There is no sweep to go on with in here; it begins now." in captured.err
    assert "which is therefore optimistic" in captured.err


def test_a_data_set_is_swept_with_the_recipe_that_is_chosen_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "cells.npy", images)
    small = ["--set", "training.epochs=1", "--set", 'vae.encoder={kind="mlp",hidden=[4]}']
    small += ["--set", 'vae.decoder={kind="mlp",hidden=[4]}', "--trials", "1"]
    command = ["sweep", "cells.npy", "--vary", "vae.latent_shape=[1],[2]", *OPTIONS[:3], *small]
    assert exit_code(*command) == 0
    assert "The best of 1 trials (1 complete)" in capsys.readouterr().out
    assert (tmp_path / "runs/cells-sweep/trial-0000/recipe.toml").is_file()


def test_an_autoencoder_is_swept_by_its_squared_error(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [word for override in SMALL[:1] + SMALL[4:] for word in ("--set", override)]
    command = ["sweep", "digits-autoencoder", "--vary", RATES, *OPTIONS[:3], *overrides]
    assert exit_code(*command, "--trials", "1") == 0
    out = capsys.readouterr().out
    assert "Its validation bound (-squared error) is -" in out
    assert "nats" not in out


def test_a_sweep_without_a_complete_trial_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exit_code(*SWEEP, "--limit-minutes", "0", "--sweep-dir", "a") == 0
    out = capsys.readouterr().out
    assert "No trial is complete yet. Give the same command again to go on." in out
    fails = ["--set", "training.max_skipped_in_a_row=1", "--set", "optimizer.gradient_clip=1e-30"]
    command = ["sweep", "digits", "--vary", "optimizer.learning_rate=1e30", *OPTIONS, *fails[:2]]
    assert exit_code(*command, "--trials", "2", "--sweep-dir", "b") == 1
    captured = capsys.readouterr()
    assert "Trial 0 failed (optimizer.learning_rate = 1e+30): Training diverged: " in captured.out
    assert "No trial is complete (2 failed). The last one: Training diverged" in captured.err


@pytest.mark.parametrize(
    ("code", "arguments", "words"),
    [
        (1, ["digits"], "Nothing varies in this sweep. Add --vary optimizer.learning_rate=1e-4.."),
        (1, ["digits", "--vary", "training.epohs=1,2"], "Did you mean training.epochs?"),
        (1, ["digits", "--vary", "seed=2..1"], "2 is not below 1. Write --vary seed=1..2"),
        (2, ["digits", "--trials", "0"], "0 is below 1. Use --trials 1."),
        (2, ["digits", "--jobs", "0"], "0 is below 1. Use --jobs 1."),
        (1, ["digist"], "Did you mean 'digits'?"),
        (
            1,
            ["digits", "--set", "start=other"],
            "start = 'other': the trials of a sweep start from",
        ),
    ],
)
def test_a_wrong_command_line_is_told_what_to_write(
    code: int, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("sweep", *arguments) == code
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "runs").exists()


def test_a_signal_between_trials_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def signalled(trials: Trials, limit: int) -> None:
        raise Signalled(130)

    monkeypatch.setattr(Trials, "claim", signalled)
    assert exit_code(*SWEEP) == 130
    assert capsys.readouterr().err == "Give the same command again to go on with the sweep.\n"


SIGNALLED_BETWEEN_TRIALS = """
import os, signal
from training.__main__ import main
from training.studies.sweep_trials import Trials

def signalled(trials, limit):
    os.kill(os.getpid(), signal.SIGTERM)

Trials.claim = signalled
main()
"""


def test_a_signal_between_trials_ends_the_command_and_says_how_to_go_on(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            SIGNALLED_BETWEEN_TRIALS,
            *SWEEP,
            "--sweep-dir",
            str(tmp_path / "s"),
        ],
        cwd=Path(__file__).parents[3],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 128 + signal.SIGTERM
    said = (
        "Give the same command again to go on with the sweep.\nvae-lab: SIGTERM ended the command"
    )
    assert said in ended.stderr
