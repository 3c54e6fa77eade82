"""A real run of a few epochs, shared by the tests of a module."""

from pathlib import Path

import pytest
from rich.console import Console

from tests.training.conftest import RECIPE
from training.fit.train import train
from training.recipes.loop import TrainingConfig


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of fifteen epochs on digits."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    settings = TrainingConfig(epochs=15, batch_size=400, kl_warmup_epochs=4)
    recipe = RECIPE.model_copy(update={"training": settings})
    console = Console(quiet=True)
    train(recipe, run_dir=folder, device="cpu", tensorboard=False, report=True, console=console)
    return folder
