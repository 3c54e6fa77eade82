"""A small config of a VAE, and a likelihood of each kind that scores."""

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    MLPConfig,
    NormalConfig,
)
from models.vae_config import VAEConfig

LIKELIHOODS = [
    BernoulliConfig(),
    ContinuousBernoulliConfig(),
    DiscretizedLogisticConfig(levels=17),
    DiscretizedNormalConfig(levels=17),
    NormalConfig(),
]


def vae_config(**fields):
    """A VAE of 4x3 pictures, and two dense layers, but for these fields."""
    defaults = dict(
        image_shape=(1, 4, 3),
        latent_shape=(2,),
        likelihood=BernoulliConfig(),
        encoder=MLPConfig(hidden=(3,)),
        decoder=MLPConfig(hidden=(3,)),
    )
    return VAEConfig(**{**defaults, **fields})
