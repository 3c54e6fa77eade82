"""Priors p(z); they know neither data nor networks.

p(z) = N(z; 0, I)
"""

import torch
from torch import Tensor, nn

from models.config import PriorConfig
from models.posteriors import DiagonalNormal


class StandardNormalPrior(nn.Module):
    """p(z) = N(0, I) over the latent shape."""

    zero: Tensor

    def __init__(self, config: PriorConfig, latent_shape: tuple[int, ...]) -> None:
        """Keep the shape; nothing is learned. The buffer follows the model's dtype and device."""
        super().__init__()
        self.latent_shape = latent_shape
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self) -> DiagonalNormal:
        """The prior, batch shape ()."""
        loc = self.zero.expand(self.latent_shape)
        return DiagonalNormal(loc, torch.ones_like(loc), event_dim=len(self.latent_shape))


PRIORS: dict[str, type[StandardNormalPrior]] = {"standard_normal": StandardNormalPrior}
