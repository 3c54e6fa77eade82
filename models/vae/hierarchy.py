"""Layers of latents: priors and posteriors whose groups are drawn in turn, each given the last.

    z = (z_1, ..., z_n), z_1 next to x, flattened and joined
    top_down   p(z) = N(z_n; 0, I) prod_i p(z_i | z_(i+1))
    bottom_up  q(z|x) = q(z_1|x) prod_i q(z_(i+1) | z_i)
    ladder     q(z|x) = q(z_n|x) prod_i q(z_i | z_(i+1), x)

Every factor is a diagonal normal. The decoder sees z_1 alone.

Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, section 2 (bottom_up); Sonderby et
    al. 2016, arXiv:1602.02282, section 2 (ladder).
"""

from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.config import BottomUpConfig, LadderConfig, TopDownConfig, VAEConfig
from models.distributions.elementwise import positive
from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal, merge
from models.vae.networks import NETWORKS, Shape


class _Groups(nn.Module):
    """Shapes of the groups, and a network between each two neighbours."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.shapes = config.latent_groups
        self.sizes = [prod(shape) for shape in self.shapes]

    def _normal(self, i: int, params: Tensor) -> DiagonalNormal:
        """Group i's, flattened, from (*lead, 2, *group)."""
        lead = params.ndim - 1 - len(self.shapes[i])
        loc, raw_scale = params.flatten(lead + 1).unbind(lead)
        return DiagonalNormal(loc, positive(raw_scale), event_dim=1)

    def _given(self, i: int, network: nn.Module, value: Tensor, stop: bool) -> DiagonalNormal:
        """Group i's, by a network from another group's value, (*lead, *group)."""
        if stop:
            weights = {name: weight.detach() for name, weight in network.named_parameters()}
            params: Tensor = functional_call(network, weights, (value,))
        else:
            params = network(value)
        return self._normal(i, params.to(value.dtype))


class TopDownPrior(_Groups):
    """p(z_n) p(z_(n-1)|z_n) ... p(z_1|z_2)."""

    zero: Tensor

    def __init__(self, config: VAEConfig) -> None:
        """One network for each group but the last: from the group above it."""
        super().__init__(config)
        assert isinstance(config.prior, TopDownConfig)
        _, decoder = NETWORKS[config.prior.network.kind]
        pairs = zip(self.shapes[1:], self.shapes[:-1], strict=True)
        self.networks = nn.ModuleList(
            decoder(config.prior.network, above, (2, *below)) for above, below in pairs
        )
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, y: Tensor | None, encode: object) -> GroupedNormal:
        """The prior, batch shape ()."""
        last = len(self.sizes) - 1

        def conditional(i: int, above: Tensor | None, stop: bool) -> DiagonalNormal:
            if above is None:
                loc = self.zero.expand(self.sizes[last])
                return DiagonalNormal(loc, torch.ones_like(loc), event_dim=1)
            return self._given(i, self.networks[i], above.unflatten(-1, self.shapes[i + 1]), stop)

        return GroupedNormal(
            conditional, sizes=self.sizes, order=range(last, -1, -1), batch_shape=torch.Size()
        )


class BottomUpPosterior(_Groups):
    """q(z_1|x) by the encoder, then q(z_(i+1)|z_i): the order opposite to the prior's."""

    def __init__(self, config: VAEConfig) -> None:
        """One network for each group but the first: from the group below it."""
        super().__init__(config)
        assert isinstance(config.posterior, BottomUpConfig)
        self.params_shape: Shape = (2, *self.shapes[0])
        encoder, _ = NETWORKS[config.posterior.network.kind]
        pairs = zip(self.shapes[:-1], self.shapes[1:], strict=True)
        self.networks = nn.ModuleList(
            encoder(config.posterior.network, below, (2, *above)) for below, above in pairs
        )

    def forward(self, params: Tensor, prior: nn.Module | None) -> GroupedNormal:
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


class LadderPosterior(_Groups):
    """Estimates from x on the way up, merged with the prior's conditionals on the way down.

    1/s^2 = 1/s_x^2 + 1/s_p^2,    m / s^2 = m_x / s_x^2 + m_p / s_p^2

    Source: Sonderby et al. 2016, arXiv:1602.02282, section 2. There a group's estimate and the
        next one's both come from hidden units; here the next one's comes from the estimate.
    """

    def __init__(self, config: VAEConfig) -> None:
        """One network for each group but the first: from the estimate below it."""
        super().__init__(config)
        assert isinstance(config.posterior, LadderConfig)
        self.params_shape: Shape = (2, *self.shapes[0])
        encoder, _ = NETWORKS[config.posterior.network.kind]
        pairs = zip(self.shapes[:-1], self.shapes[1:], strict=True)
        self.networks = nn.ModuleList(
            encoder(config.posterior.network, (2, *below), (2, *above)) for below, above in pairs
        )

    def forward(self, params: Tensor, prior: nn.Module) -> GroupedNormal:
        """From the first group's estimate, (batch, 2, *group), and the prior's module."""
        estimates = [params]
        for network in self.networks:
            estimates.append(network(estimates[-1]).to(params.dtype))
        top_down: GroupedNormal = prior(None, None)

        def conditional(i: int, above: Tensor | None, stop: bool) -> DiagonalNormal:
            estimate = self._normal(i, estimates[i].detach() if stop else estimates[i])
            if above is None:
                return estimate
            source = top_down.detached() if stop else top_down
            return merge(estimate, source.conditional(i, above))

        return GroupedNormal(
            conditional, sizes=self.sizes, order=top_down.order, batch_shape=params.shape[:1]
        )
