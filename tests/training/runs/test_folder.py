"""A run's folder: files are whole or not there, and the log goes on where the run does."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from models.config import VampPriorConfig
from models.errors import ConfigError
from models.vae.model import VAE
from tests.training.conftest import RECIPE
from training.errors import RunError
from training.runs import folder as run
from training.runs.folder import (
    LOG,
    STATE,
    Started,
    append_line,
    check_writable,
    read_log,
    read_run,
    replace,
    start_from,
    trim_log,
)
from training.runs.hardware import hardware


def test_a_line_that_finds_no_room_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    append_line(tmp_path / LOG, {"step": 1})
    monkeypatch.setattr(run.os, "fsync", full)
    with pytest.raises(RunError, match=r"log.jsonl: No space left on device.*--resume"):
        append_line(tmp_path / LOG, {"step": 2})
    assert read_log(tmp_path) == [{"step": 1}]
    with pytest.raises(RunError, match="make room"):
        replace(tmp_path / LOG, b"new")
    assert read_log(tmp_path) == [{"step": 1}]
    assert os.listdir(tmp_path) == [LOG]


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path):
    with pytest.raises(RunError, match="No such file or directory"):
        replace(tmp_path / "lost" / "file", b"")


def test_numbers_that_are_not_finite_become_null(tmp_path: Path):
    append_line(tmp_path / LOG, {"step": 1, "bound": -math.inf, "rate": math.nan, "lr": 0.5})
    assert json.loads((tmp_path / LOG).read_text()) == {
        "step": 1,
        "bound": None,
        "rate": None,
        "lr": 0.5,
    }


def test_the_log_is_cut_back_to_a_step_and_to_whole_lines(tmp_path: Path):
    for step in (10, 20, 30):
        append_line(tmp_path / LOG, {"step": step})
    with (tmp_path / LOG).open("a") as log:
        log.write('{"step": 1')
    assert [line["step"] for line in read_log(tmp_path)] == [10, 20, 30]
    trim_log(tmp_path, step=20)
    assert (tmp_path / LOG).read_text() == '{"step": 10}\n{"step": 20}\n'


def test_the_old_content_is_kept_where_asked(tmp_path: Path):
    path, before = tmp_path / "new", tmp_path / "old"
    for content in (b"1", b"2", b"3"):
        replace(path, content, keep=before)
    assert (path.read_bytes(), before.read_bytes()) == (b"3", b"2")


def test_the_hardware_is_named():
    assert "CPU thread" in hardware(torch.device("cpu"))


def test_a_run_is_read_with_its_recipe_and_state(run_dir: Path):
    found = read_run(run_dir)
    assert (found.path, found.recipe, found.state["seed"]) == (run_dir, RECIPE, 5)


def test_byte_order_marks_change_nothing_in_a_run(run_dir: Path):
    append_line(run_dir / LOG, {"step": 1})
    before, log = read_run(run_dir), read_log(run_dir)
    for name in (STATE, LOG, "recipe.toml"):
        text = (run_dir / name).read_text(encoding="utf-8")
        (run_dir / name).write_text(text, encoding="utf-8-sig")
    assert read_run(run_dir) == before
    assert read_log(run_dir) == log == [{"step": 1}]


def test_a_folder_without_a_run_or_weights_is_refused(run_dir: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no run at .*/none: it has no recipe\.toml\. Name a"):
        read_run(tmp_path / "none")
    for name in ("best.safetensors", "state.json"):
        (run_dir / name).unlink()
    with pytest.raises(ConfigError, match=r"it lacks state\.json and best\.safetensors\. Train"):
        read_run(run_dir)


def test_a_run_that_diverged_is_not_told_to_train_on(run_dir: Path):
    (run_dir / "best.safetensors").unlink()
    state = json.loads((run_dir / "state.json").read_text())
    state["best_validation_bound_nats"] = None
    (run_dir / "state.json").write_text(json.dumps(state))
    with pytest.raises(ConfigError, match=r"no weights: training diverged.*lower optimizer"):
        read_run(run_dir)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_state_is_named(run_dir: Path, text: str):
    (run_dir / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=r"state\.json is damaged: .*Restore it"):
        read_run(run_dir)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    check_writable(tmp_path / "new" / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file stands there, and it is not a folder.*--run-dir"):
        check_writable(tmp_path / "file" / "run")
    monkeypatch.setattr(run.os, "access", lambda path, mode: False)
    with pytest.raises(RunError, match=r"the folder is read-only.*--run-dir"):
        check_writable(tmp_path / "new")


def test_a_run_starts_from_a_finished_one_of_the_same_model(run_dir: Path):
    torch.manual_seed(1)
    vae = VAE(RECIPE.vae)
    assert start_from(run_dir, vae) == Started(seconds=1.5, has_prior=True)
    with pytest.raises(ConfigError, match=r"no run .*/other to start from.* vae-lab train other"):
        start_from(run_dir.with_name("other"), vae)
    changed = VAE(RECIPE.vae.model_copy(update={"latent_shape": (3,)}))
    with pytest.raises(ConfigError, match=r"other values of vae\.latent_shape\. Make them equal"):
        start_from(run_dir, changed)
    vamp = VAE(RECIPE.vae.model_copy(update={"prior": VampPriorConfig(num_components=2)}))
    with pytest.raises(ConfigError, match=r"other values of vae\.prior\.kind, vae\.prior\.num_c"):
        start_from(run_dir, vamp)
    state = json.loads((run_dir / "state.json").read_text())
    (run_dir / "state.json").write_text(json.dumps({**state, "finished": False}))
    with pytest.raises(ConfigError, match=r"not finished.*recipe\.toml --resume --run-dir"):
        start_from(run_dir, vae)
