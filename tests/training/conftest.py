"""A run's folder as training leaves it, made without training."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.config import DiscretizedLogisticConfig, MLPConfig
from models.images.spec import ImageSpec
from models.vae.model import VAE
from models.vae_config import VAEConfig
from training.data.datasets import load
from training.evaluation.evaluate import EvaluationSettings
from training.recipes.recipe import DatasetConfig, Recipe, TrainingConfig
from training.runs.claim import create_or_verify
from training.runs.folder import Progressed, save_best, write_state

RECIPE = Recipe(
    name="tiny",
    seed=5,
    dataset=DatasetConfig(name="digits"),
    image=ImageSpec(channels=1, height=8, width=8, levels=17),
    vae=VAEConfig(
        image_shape=(1, 8, 8),
        latent_shape=(2,),
        likelihood=DiscretizedLogisticConfig(levels=17),
        encoder=MLPConfig(hidden=(8,)),
        decoder=MLPConfig(hidden=(8,)),
    ),
    training=TrainingConfig(epochs=3),
)

QUICK = EvaluationSettings(elbo_num_samples=1, iwae_num_samples=1, subset_num_images=0)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums are bitwise the same on the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run on digits, with the weights that torch starts from."""
    folder = tmp_path / "runs" / "tiny"
    create_or_verify(folder, RECIPE, resume=False)
    torch.manual_seed(0)
    save_best(folder, VAE(RECIPE.vae))
    write_state(
        folder,
        RECIPE,
        Progressed(
            step=27,
            best_bound_nats=-150.0,
            best_error_nats=1.5,
            best_epoch=3,
            seconds=1.5,
            stopped_because="all 3 epochs are done",
        ),
        dataset_sha256=load("digits").sha256,
        device=torch.device("cpu"),
    )
    return folder
