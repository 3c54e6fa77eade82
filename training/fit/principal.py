"""The start of a model with a principal path: a PCA of training pictures, which training corrects.

With eigenvalues l_i and axes u_i of pictures x in [-1, 1], their mean m, and the variance s^2 of a
pixel that the components leave out:

    z_i = a_i u_i'(x - m) / sqrt(l_i),    x = m + sum_i u_i sqrt(l_i) z_i / a_i
    std_i = a_i s / sqrt(l_i),            a_i^2 = 1 - s^2 / l_i

z_i has the variance 1 of its prior then, the noise of q(z|x) included, and that noise moves a pixel
no more than what is left out.

Source: Tipping and Bishop 1999, Probabilistic principal component analysis, without its shrinkage
    of the means, so that reconstructions are those of PCA.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.vae.model import VAE
from models.vae.principal import Pictures
from training.evaluation.components import fit_components
from training.fit.batches import Data
from training.recipes.recipe import Recipe

_MOST, _MOST_NUMBERS = 10_000, 50_000_000
"""Images that the components are fitted to, and numbers in them: 200 MB as float32."""
_LEAST_SHARE = 0.25
"""Least a_i^2, of components that hardly differ from what is left out."""


@torch.no_grad()
def start_principal_path(vae: VAE, data: Data, recipe: Recipe) -> None:
    """Fit the path to training images as they are without augmentation; the encoder begins at 0.

    Latents beyond those that the images differ in have no component, and begin at their prior.
    """
    pictures = _some_images(vae, data, recipe)
    path, mean = vae.principal, pictures.mean(0)
    x = path.halve(pictures - mean).flatten(1).numpy()
    components = fit_components(x, vae.num_latents)
    variances = components.encode(x).var(0)
    rounding = (2 / vae.unit_scale) ** 2 / 12
    noise = max(float(x.var(0).sum() - variances.sum()) / x.shape[1], rounding)
    is_used = variances > rounding
    axes, variances = components.axes[is_used], variances[is_used]
    spread = np.sqrt(variances / np.maximum(1 - noise / variances, _LEAST_SHARE))
    path.mean.copy_(mean)
    _set_weight(path.encoder, axes / spread[:, None])
    _set_weight(path.decoder, (axes * spread[:, None]).T)
    _start_encoder(vae, torch.from_numpy(np.sqrt(noise) / spread))


def _some_images(vae: VAE, data: Data, recipe: Recipe) -> Pictures:
    """Training images on the scale of [-1, 1], chosen by the recipe's seed."""
    most = max(2, min(_MOST, _MOST_NUMBERS // vae.config.num_dimensions))
    generator = torch.Generator().manual_seed(recipe.seed)
    chosen = torch.randperm(len(data.cache), generator=generator)[:most].sort().values
    return data.batch(chosen, recipe, progress=1.0).x * (2 / vae.unit_scale) - 1


def _set_weight(network: nn.Module, weight: np.ndarray) -> None:
    """Set the first rows, or columns, of a linear map that is 0."""
    (layer,) = (part for part in network.modules() if isinstance(part, nn.Linear))
    rows, columns = weight.shape
    layer.weight[:rows, :columns] = torch.from_numpy(np.ascontiguousarray(weight))


def _start_encoder(vae: VAE, std: Tensor) -> None:
    """Let the encoder's last layer give no correction and these scales; 1 where there is none."""
    *_, last = (part for part in vae.encoder.modules() if isinstance(part, nn.Linear))
    last.weight.zero_()
    params = last.bias.zero_().unflatten(0, (-1, vae.num_latents))
    scale = torch.cat([std, std.new_ones(vae.num_latents - len(std))])
    vae.principal.scale.copy_(scale)
    params[1] = scale + torch.log(-torch.expm1(-scale))
