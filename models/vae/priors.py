"""Priors p(z) and p(z|y); they know no data. A hierarchy's is in `hierarchy.py`.

standard_normal   N(z; 0, I)
mixture           sum_k pi_k N(z; m_k, diag(s_k)^2), all learned
vamp              (1/K) sum_k q(z | u_k), with learned pseudo-inputs u_k
label_normal      p(z|y) = N(z; m_y, diag(s_y)^2)
categorical       `categorical.py`
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.config import MixturePriorConfig, VAEConfig, VampPriorConfig
from models.distributions.elementwise import positive
from models.distributions.normals import DiagonalNormal, MixtureOfNormals
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation
from models.vae.hierarchy import TopDownPrior

_UNIT_SCALE_RAW = math.log(math.e - 1)
"""softplus of it is 1."""


Encode = Callable[[Tensor], DiagonalNormal]


class StandardNormalPrior(nn.Module):
    """p(z) = N(0, I) over the latent shape."""

    zero: Tensor

    def __init__(self, config: VAEConfig) -> None:
        """Keep the shape; nothing is learned. The buffer follows the model's dtype and device."""
        super().__init__()
        self.latent_shape = config.latent_shape
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, y: Tensor | None, encode: Encode | None) -> DiagonalNormal:
        """The prior, batch shape ()."""
        loc = self.zero.expand(self.latent_shape)
        return DiagonalNormal(loc, torch.ones_like(loc), event_dim=len(self.latent_shape))


class MixturePrior(nn.Module):
    """A learned mixture of diagonal normals."""

    def __init__(self, config: VAEConfig) -> None:
        """Begin with unit normals at random places, so that they can part."""
        super().__init__()
        assert isinstance(config.prior, MixturePriorConfig)
        shape = (config.prior.num_components, *config.latent_shape)
        self.logits = nn.Parameter(torch.zeros(shape[0]))
        self.loc = nn.Parameter(torch.randn(shape))
        self.raw_scale = nn.Parameter(torch.full(shape, _UNIT_SCALE_RAW))

    def forward(self, y: Tensor | None, encode: Encode | None) -> MixtureOfNormals:
        """The prior, batch shape ()."""
        event_dim = self.loc.ndim - 1
        components = DiagonalNormal(self.loc, positive(self.raw_scale), event_dim=event_dim)
        return MixtureOfNormals(self.logits, components)


class VampPrior(nn.Module):
    """The mean of the posteriors of pseudo-inputs, drawn by a *random* one of them.

    Source: Tomczak and Welling 2018, arXiv:1705.07120, equation 9. The authors' sampler, and those
        made after it, take the first pseudo-inputs instead of random ones.
    """

    def __init__(self, config: VAEConfig) -> None:
        """Begin with pseudo-inputs of grey noise; training puts training images there."""
        super().__init__()
        assert isinstance(config.prior, VampPriorConfig)
        shape = (config.prior.num_components, *config.image_shape)
        self.pseudo_inputs = nn.Parameter(0.5 + 0.1 * torch.randn(shape))

    def forward(self, y: Tensor | None, encode: Encode | None) -> MixtureOfNormals:
        """The prior, batch shape ()."""
        assert encode is not None
        components = encode(self.pseudo_inputs.clamp(0, 1))
        return MixtureOfNormals(components.loc.new_zeros(len(components.loc)), components)


class LabelNormalPrior(nn.Module):
    """p(z|y): a learned diagonal normal for each label."""

    def __init__(self, config: VAEConfig) -> None:
        """Begin with unit normals at random places near the origin."""
        super().__init__()
        shape = (config.num_labels, *config.latent_shape)
        self.loc = nn.Parameter(0.1 * torch.randn(shape))
        self.raw_scale = nn.Parameter(torch.full(shape, _UNIT_SCALE_RAW))

    def forward(self, y: Tensor | None, encode: Encode | None) -> DiagonalNormal:
        """The prior of labels, batch shape (batch,)."""
        assert y is not None  # the VAE refuses a missing label
        event_dim = self.loc.ndim - 1
        return DiagonalNormal(self.loc[y], positive(self.raw_scale[y]), event_dim=event_dim)


class NoPrior(nn.Module):
    """An autoencoder's: there is none."""

    def __init__(self, config: VAEConfig) -> None:
        """There is nothing to learn here."""
        super().__init__()

    def forward(self, y: Tensor | None, encode: Encode | None) -> DiagonalNormal:
        """Refused.

        Raises:
            UnsupportedOperation: Always.
        """
        raise UnsupportedOperation(
            "Sampling and scoring need a prior; an autoencoder has none. Train a VAE."
        )


class CategoricalPrior(nn.Module):
    """p(z) = Cat(pi), pi learned."""

    def __init__(self, config: VAEConfig) -> None:
        """Begin with equal probabilities."""
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(config.latent_shape))

    def forward(self, y: Tensor | None, encode: object) -> OneHot:
        """The prior, batch shape ()."""
        return OneHot(self.logits)


PRIORS: dict[str, type[nn.Module]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "label_normal": LabelNormalPrior,
    "categorical": CategoricalPrior,
    "top_down": TopDownPrior,
    "none": NoPrior,
}
