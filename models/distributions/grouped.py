"""The distribution of a hierarchy of latents: groups of one axis, each given the one drawn before.

    p(z) = prod_i N(z_i; loc_i(z_before), diag(scale_i(z_before))^2)

`models.vae.hierarchy` makes the conditionals from networks.
"""

from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor

from models.distributions.from_noise import FromNoise
from models.distributions.normals import DiagonalNormal

Conditional = Callable[[int, Tensor | None, bool], DiagonalNormal]


class GroupedNormal(FromNoise):
    """Diagonal normals over groups of one axis, each given the one drawn before it."""

    has_rsample = True

    def __init__(
        self,
        conditional: Conditional,
        *,
        sizes: Sequence[int],
        order: Sequence[int],
        batch_shape: torch.Size,
        stop: bool = False,
    ) -> None:
        """Keep how each group's normal is made.

        Args:
            conditional: A group's index, the value drawn before it, (*lead, size) or None for the
                first, and `stop`, to the group's normal.
            sizes: Numbers in each group, in z's order.
            order: Indices of the groups as they are drawn.
            batch_shape: () or (batch,).
            stop: Detach the parameters of the groups' normals.
        """
        self._conditional, self._stop = conditional, stop
        self.sizes, self.order = list(sizes), list(order)
        super().__init__((*batch_shape, sum(sizes)), event_dim=1)

    def conditional(self, i: int, given: Tensor | None) -> DiagonalNormal:
        """Group i's normal, given the value of the group drawn before it, or None for the first."""
        return self._conditional(i, given, self._stop)

    def detached(self) -> "GroupedNormal":
        """The same distribution without gradients of its networks; those through z remain.

        A group's normal depends on another group's value, which is a part of z.
        """
        stopped = copy(self)
        stopped._stop = True
        return stopped

    @property
    def loc(self) -> Tensor:
        """The ancestral mean: each group's mean given the mean of the one drawn before it."""
        return self._at_the_means(lambda group: group.loc)

    @property
    def mean(self) -> Tensor:
        """`loc`; the mean of the joint has no closed form."""
        return self.loc

    @property
    def scale(self) -> Tensor:
        """Each group's scale given the mean of the one drawn before it."""
        return self._at_the_means(lambda group: group.scale)

    def log_prob_per_group(self, value: Tensor) -> Tensor:
        """Log-density of each group given the one drawn before it, nats, (*lead, group)."""
        parts = value.split(self.sizes, -1)
        groups = self.groups_at(value)
        terms = [group.log_prob(part) for group, part in zip(groups, parts, strict=True)]
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return torch.stack([term.expand(shape) for term in terms], -1)

    def groups_at(self, value: Tensor) -> list[DiagonalNormal]:
        """Each group's normal, given the value's part that was drawn before it; in z's order."""
        parts = value.split(self.sizes, -1)
        above = dict(zip(self.order[1:], self.order, strict=False))
        return [
            self.conditional(i, parts[above[i]] if i in above else None) for i in range(len(parts))
        ]

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        return self.log_prob_per_group(value).sum(-1)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """An ancestral draw; the temperature scales every group's normals."""
        parts = noise.split(self.sizes, -1)
        return self._ancestral(lambda group, i: group.from_noise(parts[i], temperature=temperature))

    def _at_the_means(self, read: Callable[[DiagonalNormal], Tensor]) -> Tensor:
        joined = self._ancestral(lambda group, _: group.loc, then=read)
        return joined.expand(*self.batch_shape, -1)

    def _ancestral(
        self,
        value_of: Callable[[DiagonalNormal, int], Tensor],
        *,
        then: Callable[[DiagonalNormal], Tensor] | None = None,
    ) -> Tensor:
        """Join each group's value, or what `then` makes of it, given the value chosen before it."""
        parts: dict[int, Tensor] = {}
        above: Tensor | None = None
        for i in self.order:
            group = self.conditional(i, above)
            above = value_of(group, i)
            parts[i] = above if then is None else then(group)
        return torch.cat([parts[i] for i in range(len(parts))], -1)
