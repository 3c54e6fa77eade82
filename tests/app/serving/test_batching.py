"""Passes that run together: each gets its own rows, and a failing one fails alone."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from app.serving.batching import run_together
from models.estimators.steps import Pass


def double(offset: int, a: Tensor, b: Tensor | None) -> tuple[Tensor | None, Tensor, None]:
    if (a < 0).any():
        raise ValueError("negative")
    return None if b is None else b + 1, 2 * a + offset, None


def rows(*values: float, b: bool = False) -> Pass:
    a = torch.tensor(values)[:, None].expand(-1, 3)
    return Pass(double, (5,), (a, a * 10 if b else None))


@pytest.mark.parametrize("b", [True, False])
def test_each_pass_gets_its_own_rows(b: bool) -> None:
    passes = [rows(1.0, b=b), rows(2.0, 3.0, b=b), rows(4.0, b=b)]
    for one, outcome in zip(passes, run_together(passes), strict=True):
        for found, alone in zip(outcome, one.run(), strict=True):  # type: ignore[arg-type]
            assert (found is None) == (alone is None)
            assert found is None or torch.equal(found, alone)


def test_passes_with_an_axis_of_samples_share_a_call_with_others() -> None:
    calls = []

    def count(x: Tensor) -> tuple[Tensor]:
        calls.append(x.shape)
        return (x.sum(-1),)

    samples = torch.arange(24.0).reshape(4, 2, 3)
    single = torch.arange(6.0).reshape(2, 3)
    one = torch.arange(12.0).reshape(4, 1, 3)
    first, second, third = run_together(
        [Pass(count, (), (x,), 2) for x in (samples, single.expand(3, 2, 3), one)]
    )
    assert calls == [(18, 3)]
    assert torch.equal(third[0], one.sum(-1))  # type: ignore[index]
    assert torch.equal(first[0], samples.sum(-1))  # type: ignore[index]
    assert torch.equal(second[0], single.sum(-1).expand(3, 2))  # type: ignore[index]


@pytest.mark.parametrize("bad", [0, 3, 7])
def test_of_eight_only_the_failing_one_fails(bad: int) -> None:
    passes = [rows(-1.0 if i == bad else float(i)) for i in range(8)]
    outcomes = run_together(passes)
    failed = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)]
    assert failed == [bad]
    for i, outcome in enumerate(outcomes):
        assert i == bad or torch.equal(outcome[1], passes[i].run()[1])  # type: ignore[index]


def test_results_of_a_gpu_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    result = SimpleNamespace(is_cuda=True)  # this machine may have no GPU
    one = Pass(lambda x: (None, result), (), (torch.zeros(1, 2),))
    assert run_together([one]) == [(None, result)]
    assert waited == [True]
