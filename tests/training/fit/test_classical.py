"""The classical models against scikit-learn's own numbers, a dense normal, and theory."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch.distributions import MultivariateNormal

from models.errors import ConfigError
from models.estimators.elbo import estimate_elbo
from models.estimators.exact import has_exact_posterior
from models.estimators.importance import estimate_log_px
from models.estimators.labels import classify_steps
from models.estimators.steps import run_steps
from models.images.spec import ImageSpec
from models.vae.model import VAE
from models.vae_config import VAEConfig
from training.data.datasets import load
from training.evaluation.trained import load_trained_model
from training.fit.classical import (
    CLASSICAL,
    MIN_SCALE,
    BoundedMixture,
    fit_gaussian_mixture,
    fit_pca,
    fit_ppca,
)
from training.fit.train import train
from training.recipes.recipe import Recipe
from training.runs.folder import LOG, STATE

SPEC = ImageSpec(channels=1, height=8, width=8, levels=17)
AFFINE = {"kind": "mlp", "hidden": []}
MODELS: dict[str, dict[str, Any]] = {
    "ppca": {"likelihood": {"kind": "normal", "scale": "learned"}, "encoder": AFFINE},
    "pca": {
        "likelihood": {"kind": "point"},
        "prior": {"kind": "none"},
        "posterior": {"kind": "point"},
        "encoder": AFFINE,
    },
    "gaussian_mixture": {
        "likelihood": {"kind": "normal", "scale": "per_pixel"},
        "prior": {"kind": "categorical"},
        "posterior": {"kind": "enumerated"},
    },
}


def model(kind: str, *, latents: int = 5, shape: tuple[int, int, int] = (1, 8, 8)) -> VAE:
    fields = {"image_shape": shape, "latent_shape": (latents,), "decoder": AFFINE}
    vae = VAE(VAEConfig.model_validate({**fields, **MODELS[kind]}))
    return vae.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, torch.Tensor]:
    """Training pixels as rows, and test images, on the unit scale."""
    dataset = load("digits")
    rows, test = dataset.train.read_levels(SPEC), dataset.test.read_levels(SPEC)
    return rows.reshape(len(rows), -1) / 16.0, torch.from_numpy(test / 16.0)


def test_ppca_scores_as_scikit_learn_and_as_a_dense_normal(
    digits: tuple[np.ndarray, torch.Tensor],
) -> None:
    rows, x = digits
    vae = model("ppca")
    found = fit_ppca(vae, rows, seed=0)
    fitted = PCA(5).fit(rows)
    assert found["noise_scale"] == pytest.approx(fitted.noise_variance_**0.5)
    assert has_exact_posterior(vae)
    exact = estimate_log_px(vae, x, num_samples=1, seed=0, estimator="exact").estimate_nats
    expected = fitted.score_samples(x.flatten(1).numpy())
    assert len(exact) == 300
    assert np.allclose(exact, expected, rtol=1e-9)
    loading = vae.decoder.body[-1].weight
    noise = vae.likelihood(torch.zeros(5).double()).scale.flatten()[0]
    covariance = loading @ loading.T + noise**2 * torch.eye(64).double()
    dense = MultivariateNormal(vae.decoder.body[-1].bias, covariance)
    assert torch.allclose(exact, dense.log_prob(x.flatten(1)), rtol=1e-9)


def test_the_bound_of_ppca_is_tight(digits: tuple[np.ndarray, torch.Tensor]) -> None:
    rows, x = digits
    vae = model("ppca")
    fit_ppca(vae, rows, seed=0)
    exact = estimate_log_px(vae, x[:9], num_samples=1, seed=0, estimator="exact").estimate_nats
    elbo = estimate_elbo(vae, x[:9], num_samples=3, seed=0, kl_method="monte_carlo")
    assert torch.allclose(elbo.elbo_nats, exact, rtol=1e-9)


def test_ppca_in_float32_is_still_exact(digits: tuple[np.ndarray, torch.Tensor]) -> None:
    rows, x = digits
    vae = model("ppca").float()
    fit_ppca(vae, rows, seed=0)
    assert has_exact_posterior(vae)
    found = estimate_log_px(vae, x.float(), num_samples=1, seed=0, estimator="exact").estimate_nats
    assert np.allclose(found, PCA(5).fit(rows).score_samples(x.flatten(1).numpy()), atol=1e-3)


def test_no_other_noise_or_loading_is_more_probable(
    digits: tuple[np.ndarray, torch.Tensor],
) -> None:
    rows, _ = digits
    vae = model("ppca")
    fit_ppca(vae, rows, seed=0)
    x = torch.from_numpy(rows).reshape(-1, 1, 8, 8)

    def mean_log_px() -> float:
        loading, bias = vae.decoder.body[-1].weight, vae.decoder.body[-1].bias
        noise = vae.likelihood(torch.zeros(5).double()).scale.flatten()[0]
        covariance = loading @ loading.T + noise**2 * torch.eye(64).double()
        return float(MultivariateNormal(bias, covariance).log_prob(x.flatten(1)).mean())

    best = mean_log_px()
    for name in ("_likelihood.raw_scale", "decoder.body.1.weight", "decoder.body.1.bias"):
        for step in (0.01, -0.01):
            parameter = vae.get_parameter(name)
            kept = parameter.clone()
            parameter.mul_(1 + step)
            assert mean_log_px() < best
            parameter.copy_(kept)


def test_pca_reconstructs_as_scikit_learn(digits: tuple[np.ndarray, torch.Tensor]) -> None:
    rows, x = digits
    vae = model("pca")
    found = fit_pca(vae, rows, seed=0)
    fitted = PCA(5).fit(rows)
    assert found["explained_variance"] == pytest.approx(fitted.explained_variance_ratio_.sum())
    projected = fitted.inverse_transform(fitted.transform(x.flatten(1).numpy()))
    picture = vae.likelihood(vae.posterior(x).mean).mean
    assert np.allclose(picture.flatten(1), projected, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4)])
def test_a_mixture_scores_and_assigns_as_scikit_learn(shape: tuple[int, int, int]) -> None:
    pixels = load("digits").train.read_levels(SPEC).reshape(-1, 64)
    rows = pixels[:, : shape[0] * shape[1] * shape[2]] / 16.0
    vae = model("gaussian_mixture", latents=7, shape=shape)
    found = fit_gaussian_mixture(vae, rows, seed=3)
    x = torch.from_numpy(rows[:50]).reshape(50, *shape)
    twin = GaussianMixture(7, covariance_type="diag")
    components = vae.likelihood(torch.eye(7).double())
    twin.weights_ = vae.prior().mean.numpy()
    twin.means_ = components.loc.flatten(1).numpy()
    twin.covariances_ = components.scale.flatten(1).numpy() ** 2
    twin.precisions_cholesky_ = 1 / np.sqrt(twin.covariances_)
    assert twin.covariances_.min() == pytest.approx(MIN_SCALE**2)
    assert found["train_log_px_nats"] == pytest.approx(twin.score(rows))
    assert has_exact_posterior(vae)
    exact = estimate_log_px(vae, x, num_samples=1, seed=0, estimator="exact").estimate_nats
    assert np.allclose(exact, twin.score_samples(rows[:50]), rtol=1e-9)
    steps = classify_steps(vae, x, num_samples=1, seed=0, chunk_rows=512)
    responsibilities = run_steps(steps).exp().numpy()
    assert np.allclose(responsibilities, twin.predict_proba(rows[:50]), atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_step_of_em_lowers_the_likelihood(digits: tuple[np.ndarray, torch.Tensor]) -> None:
    rows, _ = digits
    least: dict[type[GaussianMixture], float] = {}
    for kind in (BoundedMixture, GaussianMixture):
        mixture = kind(
            10,
            covariance_type="diag",
            reg_covar=MIN_SCALE**2,
            max_iter=1,
            tol=0.0,
            warm_start=True,
            random_state=0,
        )
        scores = [mixture.fit(rows).score(rows) for _ in range(40)]
        assert len(scores) == 40
        assert mixture.covariances_.min() >= MIN_SCALE**2
        least[kind] = min(after - before for before, after in pairwise(scores))
    assert least[BoundedMixture] > -1e-9
    assert least[GaussianMixture] < -1e-7  # so the test would see it


def test_a_model_with_as_many_components_as_images_is_refused(
    digits: tuple[np.ndarray, torch.Tensor],
) -> None:
    rows, _ = digits
    for kind, fitted in CLASSICAL.items():
        with pytest.raises(
            ConfigError,
            match=r"vae.latent_shape = \[\d+\] is too large: a classical model has fewer",
        ):
            fitted(model(kind), rows[:5], seed=0)


def test_ppca_needs_variance_beyond_its_components() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(50, 3)) @ generator.normal(size=(3, 64))
    with pytest.raises(
        ConfigError, match=r"vae.latent_shape = \[\d+\] is too large: .* leave none for the noise"
    ):
        fit_ppca(model("ppca"), rows, seed=0)


@pytest.mark.parametrize("kind", list(CLASSICAL))
def test_a_recipe_of_a_classical_model_makes_a_finished_run(kind: str, tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "fitted",
            "seed": 2**40,
            "dataset": {"name": "digits"},
            "image": {"channels": 1, "height": 8, "width": 8, "levels": 17, "values": "unit"},
            "vae": {"latent_shape": (5,), "decoder": AFFINE, **MODELS[kind]},
            "objective": {"kind": kind},
        }
    )
    for resume in (False, True):
        done = train(recipe, run_dir=tmp_path / "run", device="cpu", resume=resume)
        (line,) = [json.loads(text) for text in (tmp_path / "run" / LOG).read_text().splitlines()]
        assert line["validation_bound_nats"] == done.best_bound_nats
    state = json.loads((tmp_path / "run" / STATE).read_text())
    assert state["finished"]
    assert state["stopped_because"] == "it was fitted at once"
    assert load_trained_model(tmp_path / "run").recipe == recipe
