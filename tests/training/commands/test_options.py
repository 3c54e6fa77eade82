"""Options that commands share."""

import pytest
import torch

from models.errors import ConfigError
from tests.training.vae_lab import exit_code
from training.commands.options import find_device


def test_a_file_in_a_folder_that_is_missing_is_refused_before_anything_is_computed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in (
        ["plot", "bounds", "runs/none", "--output", "here/b.png"],
        ["plot", "bounds", "runs/none", "--csv", "here/b.csv"],
        ["datasets", "show", "digits", "--output", "here/d.png"],
    ):
        assert exit_code(*command) == 2
        assert "no folder here. Make it first: mkdir -p 'here'" in capsys.readouterr().err


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
