"""A first layer that learns as if its inputs had mean 0, and is saved as any other."""

import copy
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from models.vae.model import VAE
from training.fit.batches import load_data
from training.fit.centring import Centring, mean_picture
from training.fit.step import take_step
from training.fit.train import train
from training.fit.training import start_training
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.runs.checkpoint import CHECKPOINT

CENTRED = "training.centre_inputs=true"


def recipe(*changes: str) -> Recipe:
    overrides = ["vae.encoder.hidden=[16]", "vae.decoder.hidden=[16]", "training.epochs=2"]
    return load_recipe(RECIPES / "digits.toml", overrides=[*overrides, *changes])


def test_steps_are_those_of_a_layer_whose_inputs_are_less_their_mean() -> None:
    torch.manual_seed(0)
    vae = VAE(recipe().vae).double()
    mean = torch.rand(1, 8, 8, dtype=torch.float64)
    assert vae.encoder is not None
    layer = next(part for part in vae.encoder.modules() if isinstance(part, torch.nn.Linear))
    twin = copy.deepcopy(layer)
    centring = Centring(vae, mean)
    centring.start()
    inputs = torch.rand(5, 64, dtype=torch.float64) * 2 - 1
    centred = inputs - (mean.flatten() * 2 - 1)
    optimizers = [torch.optim.Adam(one.parameters(), 1e-2) for one in (layer, twin)]
    for _ in range(3):
        outputs = [layer(inputs), F.linear(centred, twin.weight, twin.bias)]
        torch.testing.assert_close(*outputs)
        for optimizer, output in zip(optimizers, outputs, strict=True):
            optimizer.zero_grad()
            output.square().sum().backward()
        centring.before_step()
        torch.testing.assert_close(layer.weight.grad, twin.weight.grad)
        for optimizer in optimizers:
            optimizer.step()
        centring.after_step()
    torch.testing.assert_close(layer.weight, twin.weight)


@pytest.mark.parametrize(
    "changes",
    [(), ('vae.encoder={kind="gated_mlp",hidden=[16]}',)],
    ids=["mlp", "gated"],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    centred, ends = recipe(CENTRED, *changes), []
    for name, limits in (("whole", [None]), ("parts", [0.0, None])):
        for limit in limits:
            train(
                centred,
                run_dir=tmp_path / name,
                device="cpu",
                tensorboard=False,
                console=Console(quiet=True),
                resume=True,
                **({} if limit is None else {"limit_seconds": limit}),
            )
        ends.append(torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["vae"])
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key


def test_a_skipped_step_changes_nothing(tmp_path: Path) -> None:
    data = load_data(recipe(CENTRED), None, Console(quiet=True))
    training = start_training(recipe(CENTRED), data, run_dir=tmp_path / "run", device="cpu")
    with torch.no_grad():
        training.trained[-1].fill_(torch.nan)
    before = [one.clone() for one in training.trained]
    take_step(training, torch.arange(8))
    for one, other in zip(training.trained, before, strict=True):
        assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))


def test_the_mean_picture_is_between_black_and_white() -> None:
    chosen = recipe()
    data = load_data(chosen, None, Console(quiet=True))
    mean = mean_picture(data, chosen)
    torch.testing.assert_close(mean, data.cache.double().mean(0) / 16)
