"""What a run says that it will cost, after its first steps."""

import io
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

from training.fit.cost import MEASURED_STEPS, describe_cost, emulation_warning
from training.fit.order import Plan
from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.runs.folder import read_log


def test_the_time_left_and_of_an_epoch_follow_from_the_seconds_of_a_step() -> None:
    plan = Plan(count=1_000, batch_size=100, epochs=30, seed=0)
    cpu = torch.device("cpu")
    said = describe_cost(plan, step=20, seconds_a_step=0.25, device=cpu)
    assert said.startswith(
        "400 images a second: 2.5 s an epoch, 0:01:10 to the end of epoch 30, without validations. "
    )
    assert re.search(r" [1-9][\d,]* MiB of memory\.$", said)


def test_a_run_says_its_cost_once_and_a_shorter_one_does_not(tmp_path: Path) -> None:
    small = ["vae.encoder.hidden=[16]", "vae.decoder.hidden=[16]", "training.batch_size=100"]
    for epochs, lines in ((3, 1), (1, 0)):
        changes = [*small, f"training.epochs={epochs}"]
        recipe = load_recipe(RECIPES / "digits.toml", overrides=changes)
        out = io.StringIO()
        console = Console(file=out, width=80)
        done = train(
            recipe,
            run_dir=tmp_path / str(epochs),
            device="cpu",
            console=console,
            tensorboard=False,
        )
        assert (done.step > MEASURED_STEPS) == bool(lines)
        assert out.getvalue().count("images a second: ") == lines
        assert read_log(tmp_path / str(epochs))[-1]["images_per_second"] > 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
@pytest.mark.parametrize("native", [True, False])
def test_a_run_is_warned_of_bfloat16_that_is_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, native: bool
) -> None:
    found = {"avx512_bf16": native}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    changes = ["vae.encoder.hidden=[8]", "vae.decoder.hidden=[8]", "training.max_steps=1"]
    recipe = load_recipe(
        RECIPES / "digits.toml", overrides=[*changes, f"training.precision={precision}"]
    )
    out = io.StringIO()
    console = Console(file=out, width=80)
    train(recipe, run_dir=tmp_path / "run", device="cpu", console=console, tensorboard=False)
    warned = "digits --precision 32-true" in out.getvalue()
    assert warned == (precision == "bf16-mixed" and not native)


def test_a_torch_that_does_not_know_the_cpu_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    recipe = load_recipe(RECIPES / "digits.toml", overrides=["training.precision=bf16-mixed"])
    assert emulation_warning(recipe, torch.device("cpu")) is None
