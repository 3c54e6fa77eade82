"""An interrupted evaluation goes on where it was, and ends with the same numbers."""

from pathlib import Path

import pytest
import torch

from tests.training.conftest import QUICK
from training.evaluation import unfinished as module
from training.evaluation.trained import load_trained_model
from training.evaluation.unfinished import PART, Unfinished


class Interrupted(Exception):
    pass


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is written."""
    monkeypatch.setattr(module, "_WRITE_SECONDS", 0.0)


def interrupt(monkeypatch: pytest.MonkeyPatch, *, after: int) -> list[str]:
    """End the evaluation once so many batches are kept; what is kept, by estimate."""
    kept: list[str] = []
    keep = Unfinished.keep

    def keep_and_end(self: Unfinished, estimate: str, results: list) -> None:
        keep(self, estimate, results)
        kept.append(estimate)
        if len(kept) == after:
            raise Interrupted

    monkeypatch.setattr(Unfinished, "keep", keep_and_end)
    return kept


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("after", [1, 5, 8])
def test_an_interrupted_evaluation_goes_on_with_its_next_batch(run_dir, monkeypatch, after):
    whole = load_trained_model(run_dir).evaluate(settings=QUICK)
    assert not (run_dir / PART).exists()
    with monkeypatch.context() as patch:
        interrupt(patch, after=after)
        with pytest.raises(Interrupted):
            load_trained_model(run_dir).evaluate(settings=QUICK)
    assert (run_dir / PART).is_file()
    with monkeypatch.context() as patch:
        again = interrupt(patch, after=10**9)
        assert load_trained_model(run_dir).evaluate(settings=QUICK) == whole
    with monkeypatch.context() as patch:
        anew = interrupt(patch, after=10**9)
        load_trained_model(run_dir).evaluate(settings=QUICK)
    assert len(again) == len(anew) - after
    assert not (run_dir / PART).exists()


@pytest.mark.usefixtures("at_once")
def test_another_evaluation_and_a_damaged_file_begin_anew(tmp_path: Path):
    first = Unfinished(tmp_path, "weights", "settings")
    first.keep("ELBO", [torch.ones(2)])
    assert len(Unfinished(tmp_path, "weights", "settings").batches("ELBO")) == 1
    assert Unfinished(tmp_path, "weights", "others").batches("ELBO") == []
    assert Unfinished(tmp_path, "weights", "settings").batches("IWAE") == []
    raw = (tmp_path / PART).read_bytes()
    (tmp_path / PART).write_bytes(raw[: len(raw) // 2])
    assert Unfinished(tmp_path, "weights", "settings").batches("ELBO") == []


def test_little_time_writes_nothing_and_a_folder_that_is_gone_is_no_fault(tmp_path: Path):
    kept = Unfinished(tmp_path, "weights")
    kept.keep("ELBO", [torch.ones(2)])
    assert not (tmp_path / PART).exists()
    kept.forget()


@pytest.mark.usefixtures("at_once")
def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path):
    Unfinished(tmp_path / "gone", "weights").keep("ELBO", [torch.ones(2)])
