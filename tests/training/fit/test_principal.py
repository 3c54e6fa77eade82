"""A model with a principal path begins at a PCA of its training pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from sklearn.decomposition import PCA

from models.vae.model import VAE
from tests.training.conftest import RECIPE
from training.fit import train as loop
from training.fit.batches import Data, load_data
from training.fit.principal import start_principal_path
from training.fit.start import start_from_marginal
from training.fit.training import start_training
from training.recipes.recipe import Recipe
from training.runs.folder import start_from

CONV = {"kind": "conv", "channels": [8], "blocks": [1]}


def recipe_for(*, latents: int, size: tuple[int, int, int], levels: int = 256) -> Recipe:
    channels, height, width = size
    return Recipe.model_validate(
        {
            "name": "test",
            "dataset": {"name": "test"},
            "image": {"channels": channels, "height": height, "width": width, "levels": levels},
            "vae": {
                "latent_shape": [latents],
                "likelihood": {"kind": "discretized_logistic", "levels": levels, "num_mixtures": 2},
                "encoder": CONV,
                "decoder": CONV,
                "principal_path": True,
            },
            "training": {"epochs": 1},
        }
    )


def pictures(count: int, size: tuple[int, int, int]) -> torch.Tensor:
    """Smooth pictures: a few waves at random strengths, and a little noise."""
    random = np.random.default_rng(0)
    channels, height, width = size
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    waves = np.stack([np.cos(np.pi * (i * x + j * y)) for i in range(3) for j in range(3)])
    strengths = random.normal(0, 12, (count, channels, len(waves)))
    values = 128 + np.einsum("nck,khw->nchw", strengths, waves)
    noisy = values + random.normal(0, 2, values.shape)
    return torch.from_numpy(noisy.round().clip(0, 255).astype(np.uint8))


def started(count: int, recipe: Recipe) -> tuple[VAE, torch.Tensor]:
    levels = pictures(count, recipe.image.shape)
    data = Data(levels, None, levels.float(), None, sha256="")
    torch.manual_seed(1)
    vae = VAE(recipe.vae).eval()
    start_principal_path(vae, data, recipe)
    return vae, levels.float()


def error_of_pca(x: torch.Tensor, components: int) -> float:
    rows = x.flatten(1).double().numpy()
    fitted = PCA(components).fit(rows)
    return float(((fitted.inverse_transform(fitted.transform(rows)) - rows) ** 2).mean())


@pytest.mark.parametrize("size", [(1, 12, 10), (3, 12, 10)])
def test_reconstructions_begin_as_those_of_a_pca_with_as_many_components(size):
    vae, x = started(300, recipe_for(latents=5, size=size))
    start_from_marginal(vae, x[:8], kept=0.0)
    with torch.no_grad():
        q = vae.posterior(x)
        found = vae.principal.picture(q.mean)
        mean = vae.likelihood(q.mean).mean
    expected = error_of_pca(x, 5)
    error = float(((found + 1) * 127.5 - x).square().mean())
    assert error == pytest.approx(expected, rel=1e-3)
    # The mean of the likelihood is the picture but for what eight pictures say of its residuals.
    assert float((mean - x).square().mean()) < 1.1 * expected


def test_latents_begin_with_the_variance_of_their_prior():
    vae, x = started(300, recipe_for(latents=5, size=(1, 12, 10)))
    with torch.no_grad():
        q = vae.posterior(x)
    assert q.mean.mean(0).abs().max() < 1e-3
    variance = q.mean.var(0, correction=0) + q.scale.square().mean(0)
    torch.testing.assert_close(variance, torch.ones(5), rtol=1e-3, atol=1e-3)


def test_large_pictures_begin_close_to_a_pca():
    vae, x = started(60, recipe_for(latents=5, size=(3, 64, 48)))
    with torch.no_grad():
        found = vae.principal.picture(vae.posterior(x).mean)
    error = float(((found + 1) * 127.5 - x).square().mean())
    assert error < 1.1 * error_of_pca(x, 5)


def test_latents_without_a_component_begin_at_their_prior():
    vae, x = started(4, recipe_for(latents=6, size=(1, 12, 10)))
    with torch.no_grad():
        q = vae.posterior(x)
    assert q.mean[:, :3].any(0).all()
    assert not q.mean[:, 3:].any()
    torch.testing.assert_close(q.scale[:, 3:], torch.ones(4, 3))


def test_pictures_that_are_all_the_same_have_no_components():
    recipe = recipe_for(latents=3, size=(1, 12, 10))
    levels = torch.full((5, 1, 12, 10), 7, dtype=torch.uint8)
    vae = VAE(recipe.vae).eval()
    start_principal_path(vae, Data(levels, None, levels.float(), None, sha256=""), recipe)
    with torch.no_grad():
        q = vae.posterior(levels.float())
        picture = vae.principal.picture(q.mean)
    assert torch.equal(q.mean, torch.zeros(5, 3))
    torch.testing.assert_close((picture + 1) * 127.5, levels.float())


@pytest.mark.parametrize("labels", [0, 10])
def test_a_run_corrects_the_path_and_leaves_it_as_it_was_fitted(labels, tmp_path: Path):
    values = RECIPE.model_dump(mode="json")
    values["vae"] |= {"principal_path": True, "latent_shape": [5], "num_labels": labels}
    if labels:
        values["vae"] |= {"classifier": {"kind": "mlp"}, "prior": {"kind": "label_normal"}}
        values["objective"] = {"kind": "m2"}
    values["training"] |= {"epochs": 1, "start_from_marginal": True, "init": "glorot"}
    recipe, folder = Recipe.model_validate(values), tmp_path / "run"
    data = load_data(recipe, None, Console(quiet=True))
    begun = start_training(recipe, data, run_dir=folder, device="cpu").vae.state_dict()
    loop.train(recipe, run_dir=folder, device="cpu", tensorboard=False)
    trained = VAE(recipe.vae)
    start_from(folder, trained)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, begun[name]) == name.startswith("principal."), name
    assert trained.principal.mean.any()
