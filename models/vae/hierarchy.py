"""Hierarchies of latents: priors and posteriors whose groups are drawn one after the other.

    z = (z_1, ..., z_n), z_1 next to x, flattened and joined
    top_down   p(z) = N(z_n; 0, I) prod_i p(z_i | z_(i+1))
    bottom_up  q(z|x) = q(z_1|x) prod_i q(z_(i+1) | z_i)
    ladder     q(z|x) = q(z_n|x) prod_i q(z_i | z_(i+1), x)

Every factor is a diagonal normal. The decoder takes z_1 alone.

Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2 (bottom_up); Sonderby et
    al. 2016, arXiv:1602.02282, section 2 (ladder).
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.config import BottomUpConfig, LadderConfig, TopDownConfig
from models.distributions.elementwise import positive
from models.distributions.from_noise import FromNoise
from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal, multiply_normals
from models.vae.make_network import make_decoder, make_encoder
from models.vae.parts import Encode, Posterior, Prior
from models.vae_config import VAEConfig


class _Groups(nn.Module):
    """Shapes of the groups, and their normals from networks' outputs."""

    def __init__(self, vae: VAEConfig) -> None:
        super().__init__()
        self.shapes = vae.latent_groups
        self.sizes = [prod(shape) for shape in self.shapes]

    def _normal(self, i: int, params: Tensor) -> DiagonalNormal:
        """Group i's normal, flattened, from (*lead, 2, *group)."""
        lead = params.ndim - 1 - len(self.shapes[i])
        loc, raw_scale = params.flatten(lead + 1).unbind(lead)
        return DiagonalNormal(loc, positive(raw_scale), event_dim=1)

    def _given(self, i: int, network: nn.Module, value: Tensor, stop: bool) -> DiagonalNormal:
        """Group i's normal, by a network from another group's value, (*lead, *group)."""
        if stop:
            weights = {name: weight.detach() for name, weight in network.named_parameters()}
            params: Tensor = functional_call(network, weights, (value,))
        else:
            params = network(value)
        return self._normal(i, params.to(value.dtype))


class TopDownPrior(_Groups, Prior):
    """p(z_n) p(z_(n-1)|z_n) ... p(z_1|z_2)."""

    zero: Tensor

    def __init__(self, config: TopDownConfig, vae: VAEConfig) -> None:
        """One network for each group but the last: from the group above it."""
        super().__init__(vae)
        self.networks = nn.ModuleList(
            make_decoder(config.network, above, (2, *below))
            for below, above in pairwise(self.shapes)
        )
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, y: Tensor | None, encode: Encode) -> GroupedNormal:
        last = len(self.sizes) - 1

        def conditional(i: int, above: Tensor | None, stop: bool) -> DiagonalNormal:
            if above is None:
                loc = self.zero.expand(self.sizes[last])
                return DiagonalNormal(loc, torch.ones_like(loc), event_dim=1)
            return self._given(i, self.networks[i], above.unflatten(-1, self.shapes[i + 1]), stop)

        return GroupedNormal(
            conditional, sizes=self.sizes, order=range(last, -1, -1), batch_shape=torch.Size()
        )


class BottomUpPosterior(_Groups, Posterior):
    """q(z_1|x) by the encoder, then q(z_(i+1)|z_i): in the order opposite to the prior's."""

    def __init__(self, config: BottomUpConfig, vae: VAEConfig) -> None:
        """One network for each group but the first: from the group below it."""
        super().__init__(vae)
        self.params_shape = (2, *self.shapes[0])
        self.networks = nn.ModuleList(
            make_encoder(config.network, below, (2, *above))
            for below, above in pairwise(self.shapes)
        )

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> GroupedNormal:
        """From the first group's (batch, 2, *group)."""

        def conditional(i: int, below: Tensor | None, stop: bool) -> DiagonalNormal:
            if below is None:
                return self._normal(i, params.detach() if stop else params)
            return self._given(
                i, self.networks[i - 1], below.unflatten(-1, self.shapes[i - 1]), stop
            )

        order = range(len(self.sizes))
        return GroupedNormal(
            conditional, sizes=self.sizes, order=order, batch_shape=params.shape[:1]
        )


class LadderPosterior(_Groups, Posterior):
    """Estimates from x on the way up, multiplied by the prior's conditionals on the way down.

    (m_x, s_x, d)_1 = encoder(x),    (m_x, s_x, d)_(i+1) = network_i(d_i)
    1/s^2 = 1/s_x^2 + 1/s_p^2,    m / s^2 = m_x / s_x^2 + m_p / s_p^2

    The way up is deterministic: a group is estimated from the features d below it, which need not
    be what z below it says.

    Source: Sonderby et al. 2016, arXiv:1602.02282, section 2, without the batch normalisation.
        There d is a hidden layer itself; here it is an affine map of the last one.
    """

    def __init__(self, config: LadderConfig, vae: VAEConfig) -> None:
        """One network for each group but the first: from the features below it."""
        super().__init__(vae)
        count = config.features
        self.params_shape = (2 + count, *self.shapes[0])
        between = len(self.shapes) - 2  # the last group has nothing above it
        self.networks = nn.ModuleList(
            make_encoder(config.network, (count, *below), (outputs, *above))
            for (below, above), outputs in zip(
                pairwise(self.shapes), [2 + count] * between + [2], strict=True
            )
        )

    def forward(self, params: Tensor, prior: Callable[[], FromNoise]) -> GroupedNormal:
        """From the first group's estimate and features, (batch, 2 + features, *group)."""
        estimates = [params[:, :2]]
        for network in self.networks:
            params = network(params[:, 2:]).to(params.dtype)
            estimates.append(params[:, :2])
        top_down = cast(GroupedNormal, prior())

        def conditional(i: int, above: Tensor | None, stop: bool) -> DiagonalNormal:
            estimate = self._normal(i, estimates[i].detach() if stop else estimates[i])
            if above is None:
                return estimate
            source = top_down.detached() if stop else top_down
            return multiply_normals(estimate, source.conditional(i, above))

        return GroupedNormal(
            conditional, sizes=self.sizes, order=top_down.order, batch_shape=params.shape[:1]
        )
