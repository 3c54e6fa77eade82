"""The device that is named, and the random numbers that it draws."""

import pytest
import torch

from models.errors import ConfigError
from training.runs.hardware import find_device, generator_of


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for is_available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=is_available: found)
        assert find_device("auto") == device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("cuda:1") == "cuda:1"


def test_a_device_that_this_machine_has_not_is_refused_with_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert find_device("cpu") == "cpu"
    for name in ("cuda", "gpu", "mps", "cuda:0"):
        with pytest.raises(ConfigError) as refused:
            find_device(name)
        assert str(refused.value) == (
            f"--device {name}: this machine has no such device. Allowed here: auto, cpu. "
            "Take --device auto."
        )


def test_the_generator_of_a_device_is_the_one_that_its_draws_and_dropout_take() -> None:
    generator = generator_of(torch.device("cpu"))
    drawn = []
    for _ in range(2):
        generator.manual_seed(3)
        drawn.append((torch.randn(4), torch.nn.functional.dropout(torch.ones(64))))
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert torch.equal(drawn[0][1], drawn[1][1])
