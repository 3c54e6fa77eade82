"""Priors p(z) and p(z|y), by the kind that a config names; a hierarchy's is in `hierarchy.py`.

standard_normal   N(z; 0, I)
mixture           sum_k pi_k N(z; m_k, diag(s_k)^2), all learned
vamp              (1/K) sum_k q(z | u_k), with learned pseudo-inputs u_k
label_normal      p(z|y) = N(z; m_y, diag(s_y)^2)
categorical       p(e_k) = pi_k
none              an autoencoder's: there is no p(z)
"""

import math
from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from models.config import (
    CategoricalPriorConfig,
    LabelNormalConfig,
    MixturePriorConfig,
    NoPriorConfig,
    StandardNormalConfig,
    VampPriorConfig,
)
from models.distributions.elementwise import positive
from models.distributions.normals import DiagonalNormal, MixtureOfNormals
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation
from models.vae.hierarchy import TopDownPrior
from models.vae.parts import Encode, Prior
from models.vae_config import VAEConfig

_UNIT_SCALE_RAW = math.log(math.e - 1)
"""softplus(log(e - 1)) = 1."""


class StandardNormalPrior(Prior):
    """p(z) = N(0, I) over the latent shape."""

    zero: Tensor

    def __init__(self, config: StandardNormalConfig, vae: VAEConfig) -> None:
        """Nothing is learned. The buffer follows the model's dtype and device."""
        super().__init__()
        self.latent_shape = vae.latent_shape
        self.register_buffer("zero", torch.zeros(()), persistent=False)
        self._made: tuple[Tensor, DiagonalNormal] | None = None

    def forward(self, y: Tensor | None, encode: Encode) -> DiagonalNormal:
        zero = self.zero
        if self._made is None or self._made[0] is not zero:  # the first call, or the model moved
            with torch.inference_mode(False):  # else it could not take part in training later
                loc = zero.expand(self.latent_shape)
                prior = DiagonalNormal(loc, torch.ones_like(loc), event_dim=len(self.latent_shape))
            self._made = zero, prior
        return self._made[1]


class MixturePrior(Prior):
    """A learned mixture of diagonal normals."""

    def __init__(self, config: MixturePriorConfig, vae: VAEConfig) -> None:
        """Begin with unit normals at random places: equal ones would stay equal."""
        super().__init__()
        shape = (config.num_components, *vae.latent_shape)
        self.logits = nn.Parameter(torch.zeros(shape[0]))
        self.loc = nn.Parameter(torch.randn(shape))
        self.raw_scale = nn.Parameter(torch.full(shape, _UNIT_SCALE_RAW))

    def forward(self, y: Tensor | None, encode: Encode) -> MixtureOfNormals:
        event_dim = self.loc.ndim - 1
        components = DiagonalNormal(self.loc, positive(self.raw_scale), event_dim=event_dim)
        return MixtureOfNormals(self.logits, components)


class VampPrior(Prior):
    """The mean of the posteriors of pseudo-inputs, drawn by a *random* one of them.

    Source: Tomczak and Welling 2018, arXiv:1705.07120, equation 9. The authors' sampler, and those
        made after it, take the first pseudo-inputs instead of random ones.
    """

    def __init__(self, config: VampPriorConfig, vae: VAEConfig) -> None:
        """Begin with pseudo-inputs of grey noise; training puts training images there."""
        super().__init__()
        shape = (config.num_components, *vae.image_shape)
        self.pseudo_inputs = nn.Parameter(0.5 + 0.1 * torch.randn(shape))

    def forward(self, y: Tensor | None, encode: Encode) -> MixtureOfNormals:
        components = cast(DiagonalNormal, encode(self.pseudo_inputs.clamp(0, 1)))
        return MixtureOfNormals(components.loc.new_zeros(len(components.loc)), components)


class LabelNormalPrior(Prior):
    """p(z|y): a learned diagonal normal for each label."""

    def __init__(self, config: LabelNormalConfig, vae: VAEConfig) -> None:
        """Begin with unit normals at random places near the origin."""
        super().__init__()
        shape = (vae.num_labels, *vae.latent_shape)
        self.loc = nn.Parameter(0.1 * torch.randn(shape))
        self.raw_scale = nn.Parameter(torch.full(shape, _UNIT_SCALE_RAW))

    def forward(self, y: Tensor | None, encode: Encode) -> DiagonalNormal:
        assert y is not None  # the VAE refuses a missing label
        event_dim = self.loc.ndim - 1
        return DiagonalNormal(self.loc[y], positive(self.raw_scale[y]), event_dim=event_dim)


class NoPrior(Prior):
    """An autoencoder's prior: there is none."""

    def __init__(self, config: NoPriorConfig, vae: VAEConfig) -> None:
        super().__init__()

    def forward(self, y: Tensor | None, encode: Encode) -> NoReturn:
        """An autoencoder has no p(z).

        Raises:
            UnsupportedOperation: Always.
        """
        raise UnsupportedOperation(
            "This model is an autoencoder: it has no prior, so it cannot sample or score. Use a "
            "VAE."
        )


class CategoricalPrior(Prior):
    """A learned distribution over unit vectors."""

    def __init__(self, config: CategoricalPriorConfig, vae: VAEConfig) -> None:
        """Begin with equal probabilities."""
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(vae.latent_shape))

    def forward(self, y: Tensor | None, encode: Encode) -> OneHot:
        return OneHot(self.logits)


PRIORS: dict[str, Callable[[Any, VAEConfig], Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "label_normal": LabelNormalPrior,
    "categorical": CategoricalPrior,
    "top_down": TopDownPrior,
    "none": NoPrior,
}
