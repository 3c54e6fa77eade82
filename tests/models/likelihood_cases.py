"""One config of each likelihood, its parameters, and observations in its support; float64."""

import torch

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
)
from models.vae.likelihoods import LIKELIHOODS
from models.vae_config import VAEConfig

COLOUR_SHAPE = (3, 2, 2)
CONFIGS = [
    BernoulliConfig(),
    ContinuousBernoulliConfig(),
    DiscretizedLogisticConfig(levels=17),
    DiscretizedLogisticConfig(levels=17, num_mixtures=3),
    DiscretizedNormalConfig(levels=17),
    DiscretizedNormalConfig(levels=17, scale="learned"),
    NormalConfig(scale="fixed", fixed_scale=0.3),
    NormalConfig(scale="learned", fixed_scale=0.3),
    NormalConfig(scale="per_image"),
    NormalConfig(scale="per_pixel"),
]
BOTH_SHAPES = [(1, 3, 2), COLOUR_SHAPE]


def name_of(config):
    extra = getattr(config, "scale", getattr(config, "num_mixtures", ""))
    return f"{config.kind}-{extra}".rstrip("-")


def pixels(values):
    """Numbers as a batch of images of one grey pixel, float64."""
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


def likelihood_of(config, shape):
    """The module of a config, for images of a shape."""
    network = {"kind": "mlp", "hidden": []}
    parts = {"likelihood": config, "encoder": network, "decoder": network}
    vae = VAEConfig(image_shape=shape, latent_shape=(1,), **parts)
    return LIKELIHOODS[config.kind](config, vae)


def make(config, shape, *, dtype=torch.float64, batch=(4,), seed=0):
    """The module, parameters that need gradients, and the distribution made of them."""
    module = likelihood_of(config, shape).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    params = torch.randn(*batch, module.num_params, *shape[1:], generator=generator).to(dtype)
    params.requires_grad_()
    return module, params, module(params)


def observations(module, shape, count, *, seed=1):
    """Observations in the support, both edges among them."""
    generator = torch.Generator().manual_seed(seed)
    if not module.is_mass:
        return torch.rand(count, *shape, generator=generator, dtype=torch.float64)
    top = int(module.unit_scale)
    x = torch.randint(0, top + 1, (count, *shape), generator=generator).double()
    x[0], x[-1] = 0, top
    return x
