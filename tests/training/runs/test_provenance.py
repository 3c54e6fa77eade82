"""What is noted of each start of a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.runs.provenance import (
    STARTS,
    code_sha256,
    git_commit,
    record_start,
    recorded_data,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_each_start_is_a_line_with_all_that_it_ran_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/vae-lab", "train", "a b", "--set", "seed=2"])
    for step in (0, 40):
        record_start(tmp_path, step=step, dataset_sha256="ab", device=torch.device("cpu"))
    first, second = map(json.loads, (tmp_path / STARTS).read_text().splitlines())
    assert (first["step"], second["step"]) == (0, 40)
    assert first["command"] == "vae-lab train 'a b' --set seed=2"
    assert first["packages"]["torch"] == torch.__version__
    assert {"numpy", "pillow", "pydantic"} <= {name.lower() for name in first["packages"]}
    assert first["dataset_sha256"] == "ab"
    assert "CPU" in first["hardware"]


def test_the_data_of_a_run_are_those_of_its_last_start(tmp_path: Path):
    assert recorded_data(tmp_path) is None
    (tmp_path / "state.json").write_text('{"dataset_sha256": "aa"}')
    assert recorded_data(tmp_path) == "aa"
    lines = ['{"dataset_sha256": "bb"}', '{"dataset_sha256": "cc"}', '{"dataset_sh']
    (tmp_path / STARTS).write_text("\n".join(lines))
    assert recorded_data(tmp_path) == "cc"


def test_the_commit_is_read_without_git_from_every_form_of_checkout(tmp_path: Path):
    folder = tmp_path / ".git"
    assert git_commit(tmp_path) is None
    (folder / "refs/heads").mkdir(parents=True)
    (folder / "HEAD").write_text(f"{COMMIT}\n")
    assert git_commit(tmp_path) == COMMIT
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    assert git_commit(tmp_path) is None
    (folder / "packed-refs").write_text(f"# pack-refs\n{COMMIT} refs/heads/main\n")
    assert git_commit(tmp_path) == COMMIT
    (folder / "refs/heads/main").write_text(f"{COMMIT[::-1]}\n")
    assert git_commit(tmp_path) == COMMIT[::-1]
    worktree, linked = tmp_path / "tree", folder / "worktrees/tree"
    linked.mkdir(parents=True)
    worktree.mkdir()
    (worktree / ".git").write_text(f"gitdir: {linked}\n")
    (linked / "HEAD").write_text("ref: refs/heads/main\n")
    (linked / "commondir").write_text("../..\n")
    assert git_commit(worktree) == COMMIT[::-1]


def test_the_commit_is_that_which_git_says(tmp_path: Path):
    try:
        said = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no git, or no checkout")
    assert git_commit(Path.cwd()) == said


def test_an_edit_changes_the_codes_digest(tmp_path: Path):
    for package in ("models", "training"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("x = 1\n")
    before = code_sha256(tmp_path)
    assert before == code_sha256(tmp_path)
    (tmp_path / "training/a.py").write_text("x = 2\n")
    assert code_sha256(tmp_path) != before
