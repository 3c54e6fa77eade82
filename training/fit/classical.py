"""The classical models, fitted in closed form or by EM and stored as VAEs with affine networks.

    ppca              p(x) = N(m, W W' + s^2 I) of maximum likelihood; posterior exact
    pca               the same subspace without a distribution: an autoencoder
    gaussian_mixture  sum_k pi_k N(m_k, diag(s_k)^2) by EM; a VAE with a categorical latent

Each fit writes the weights of a VAE, which is evaluated, exported and served like any other.

Source: Tipping and Bishop 1999, Journal of the Royal Statistical Society B 61(3), section 3.2;
    Dempster, Laird and Rubin 1977, Journal of the Royal Statistical Society B 39(1).
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float64
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from models.config import NormalConfig
from models.errors import ConfigError
from models.vae.model import VAE
from training.fit.batches import Data
from training.fit.validation import validate
from training.recipes.recipe import Recipe
from training.runs.folder import LOG, Progressed, append_line, save_best, trim_log, write_state

Rows = Float64[np.ndarray, "datum pixel"]

MIN_SCALE = 0.01
"""Smallest standard deviation of a mixture's pixel, on the unit scale: without a limit the density
of a pixel that never changes would be infinite."""
MAX_STEPS = 200
"""Most steps of EM."""


def fit_ppca(vae: VAE, x: Rows, *, seed: int) -> dict[str, float]:
    """Fit probabilistic PCA by maximum likelihood; the encoder is the exact posterior.

    W = U (L - s^2)^(1/2), s^2 the mean of the left-out eigenvalues, q(z|x) = N(L^-1 W'(x - m),
    s^2 L^-1) = p(z|x). The eigenvalues L are those of the unbiased covariance, as scikit-learn's
    are: N/(N-1) times those of the maximum.

    Args:
        vae: Affine networks, a `normal` likelihood with a `learned` scale, a standard normal prior.
        x: Training pixels on the unit scale.
        seed: Not used.

    Returns:
        The noise's standard deviation.

    Raises:
        ConfigError: There are fewer images than components, or these leave no variance over.
    """
    components = _principal_components(vae.num_latents, x)
    mean, kept = components.mean_, components.explained_variance_
    noise = float(components.noise_variance_)
    if noise < np.finfo(np.float32).eps * kept[0]:
        raise ConfigError(
            f"vae.latent_shape = [{vae.num_latents}] is too large: so many principal components "
            "hold all of the variance and leave none for the noise. Set fewer, as in --set "
            f"vae.latent_shape=[{vae.num_latents // 2}].",
            parameter="vae.latent_shape",
            received=vae.num_latents,
        )
    loading = components.components_.T * np.sqrt(kept - noise)
    _set_affine(vae.decoder, loading, mean)
    likelihood = cast(NormalConfig, vae.config.likelihood)
    start = _softplus_inverse(likelihood.fixed_scale)
    raw_scale = vae.get_parameter("_likelihood.raw_scale")
    raw_scale.data.fill_(float(_softplus_inverse(np.sqrt(noise)) - start))
    project = (loading / kept).T
    # The encoder sees 2 x - 1; below the locations come the scales, which do not depend on x.
    _set_affine(
        vae.encoder,
        np.concatenate([project / 2, np.zeros_like(project)]),
        np.concatenate([project @ (0.5 - mean), _softplus_inverse(np.sqrt(noise / kept))]),
    )
    return {"noise_scale": math.sqrt(noise)}


def fit_pca(vae: VAE, x: Rows, *, seed: int) -> dict[str, float]:
    """Fit principal components: the encoder projects onto them, the decoder is the transpose.

    Args:
        vae: An autoencoder of affine networks.
        x: Training pixels on the unit scale.
        seed: Not used.

    Returns:
        The share of the variance that the components keep.

    Raises:
        ConfigError: There are fewer images than components.
    """
    fitted = _principal_components(vae.num_latents, x)
    _set_affine(vae.decoder, fitted.components_.T, fitted.mean_)
    _set_affine(vae.encoder, fitted.components_ / 2, fitted.components_ @ (0.5 - fitted.mean_))
    return {"explained_variance": float(fitted.explained_variance_ratio_.sum())}


def fit_gaussian_mixture(vae: VAE, x: Rows, *, seed: int) -> dict[str, float]:
    """Fit a mixture of diagonal normals by expectation-maximisation.

    Args:
        vae: A categorical prior with an enumerated posterior, an affine decoder and a `normal`
            likelihood with a scale per pixel.
        x: Training pixels on the unit scale.
        seed: Seed of the k-means that EM starts from.

    Returns:
        The number of EM's steps, and the mean log-likelihood of the training set in nats.

    Raises:
        ConfigError: There are fewer images than components.
    """
    _need_images(vae.num_latents, x)
    mixture = BoundedMixture(
        vae.num_latents,
        covariance_type="diag",
        reg_covar=MIN_SCALE**2,
        max_iter=MAX_STEPS,
        random_state=seed % 2**32,  # numpy takes no larger one
    ).fit(x)
    likelihood = cast(NormalConfig, vae.config.likelihood)
    start = _softplus_inverse(likelihood.fixed_scale)
    raw_scales = _softplus_inverse(np.sqrt(mixture.covariances_)) - start
    rows = np.concatenate([mixture.means_, raw_scales], axis=1)
    _set_affine(vae.decoder, rows.T, np.zeros(rows.shape[1]))
    vae.prior_module.get_parameter("logits").data.copy_(torch.from_numpy(np.log(mixture.weights_)))
    return {"em_steps": float(mixture.n_iter_), "train_log_px_nats": float(mixture.score(x))}


class BoundedMixture(GaussianMixture):  # type: ignore[misc]
    """Diagonal normals whose variances are `reg_covar` at least; EM never lowers the likelihood.

    scikit-learn adds `reg_covar` to every variance instead, which is not the optimum of an M step.
    """

    covariances_: np.ndarray
    precisions_cholesky_: np.ndarray

    def _m_step(self, *arguments: Any, **keywords: Any) -> None:
        super()._m_step(*arguments, **keywords)
        self.covariances_ = np.maximum(self.covariances_ - self.reg_covar, self.reg_covar)
        self.precisions_cholesky_ = 1 / np.sqrt(self.covariances_)


def _principal_components(count: int, x: Rows) -> PCA:
    _need_images(count, x)
    return PCA(count, svd_solver="covariance_eigh").fit(x)


def _need_images(count: int, x: Rows) -> None:
    if len(x) <= count:
        raise ConfigError(
            f"vae.latent_shape = [{count}] is too large: a classical model has fewer components "
            f"than the {len(x)} training images. Add --set vae.latent_shape=[{len(x) - 1}].",
            parameter="vae.latent_shape",
            received=count,
            suggestion=f"--set vae.latent_shape=[{len(x) - 1}]",
        )


def _set_affine(network: nn.Module, weight: np.ndarray, bias: np.ndarray) -> None:
    """Set the weights of a network without hidden layers: y = weight x + bias."""
    layer = cast(nn.Linear, cast(nn.Sequential, network.body)[-1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.from_numpy(bias))


def _softplus_inverse(scale: np.ndarray | float) -> np.ndarray:
    return np.asarray(scale + np.log(-np.expm1(-scale)))


CLASSICAL: dict[str, Callable[..., dict[str, float]]] = {
    "ppca": fit_ppca,
    "pca": fit_pca,
    "gaussian_mixture": fit_gaussian_mixture,
}


def fit_classical(
    recipe: Recipe,
    data: Data,
    *,
    run_dir: Path,
    begin: Callable[[], None] = lambda: None,
    record: Callable[[dict[str, Any], VAE, Tensor], None] = lambda line, vae, held_out: None,
) -> Progressed:
    """Fit a recipe's classical model, and write the files that a finished run has.

    `begin` is called between the two: a fit that fails leaves no folder behind. `record` gets the
    line of the log, the model and the validation images (`recorder.py`).
    """
    started = time.monotonic()
    torch.manual_seed(recipe.seed)
    vae = VAE(recipe.vae).eval()
    everything = torch.arange(len(data.cache))
    x = data.batch(everything, recipe, progress=1.0).x.flatten(1).double().numpy()
    found = CLASSICAL[recipe.objective.kind](vae, x, seed=recipe.seed)
    bound_nats, error_nats, _ = validate(vae, data, recipe.objective)
    begin()
    if math.isfinite(bound_nats):
        save_best(run_dir, vae)
    done = Progressed(
        step=1,
        bound_nats=bound_nats,
        bound_error_nats=error_nats,
        best_bound_nats=bound_nats if math.isfinite(bound_nats) else -math.inf,
        best_error_nats=error_nats,
        best_epoch=1,
        stopped_because="it was fitted at once",
        seconds=time.monotonic() - started,
    )
    trim_log(run_dir, step=0)
    line = {
        "epoch": 1,
        "step": 1,
        "seconds": round(done.seconds, 1),
        "validation_bound_nats": bound_nats,
        "validation_standard_error_nats": error_nats,
        **found,
    }
    append_line(run_dir / LOG, line)
    device = torch.device("cpu")
    write_state(run_dir, recipe, done, dataset_sha256=data.sha256, device=device)
    record(line, vae, data.validation)
    return done
