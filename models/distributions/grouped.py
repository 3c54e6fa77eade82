"""Diagonal normals over groups of one axis, each given the group drawn before it.

The distribution of a hierarchy of latents: it holds no network (`models.vae.hierarchy` makes them).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from models.distributions.normals import DiagonalNormal
from models.noise import NoiseKind

Conditional = Callable[[int, Tensor | None, bool], DiagonalNormal]


class GroupedNormal(Distribution):
    """Diagonal normals over groups of one axis, each given the one drawn before it."""

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    noise_kind: NoiseKind = "normal"

    def __init__(
        self,
        conditional: Conditional,
        *,
        sizes: Sequence[int],
        order: Sequence[int],
        batch_shape: torch.Size,
        stop: bool = False,
    ) -> None:
        """Keep the factors.

        Args:
            conditional: A group's index, the value drawn before it, (*lead, size) or None for the
                first, and `stop`, to the group's normal.
            sizes: Of the groups, in z's order.
            order: In which they are drawn.
            batch_shape: () or (batch,).
            stop: Whether no gradient flows through the factors' own parameters.
        """
        self._conditional, self._stop = conditional, stop
        self.sizes, self.order = list(sizes), list(order)
        super().__init__(batch_shape, torch.Size([sum(sizes)]), validate_args=False)

    def conditional(self, i: int, given: Tensor | None) -> DiagonalNormal:
        """Group i's normal, given the value of the group drawn before it, or None for the first."""
        return self._conditional(i, given, self._stop)

    def detached(self) -> "GroupedNormal":
        """The same distribution, through whose parameters no gradient flows; one flows through z.

        What a group's normal is given is a part of z.
        """
        return GroupedNormal(
            self._conditional,
            sizes=self.sizes,
            order=self.order,
            batch_shape=self.batch_shape,
            stop=True,
        )

    @property
    def loc(self) -> Tensor:
        """The ancestral mean: each group's mean given the mean of the one drawn before it."""
        return self._ancestral(lambda group, _: group.loc)

    @property
    def mean(self) -> Tensor:
        """`loc`: not the mean of the joint, which has no closed form."""
        return self.loc

    @property
    def scale(self) -> Tensor:
        """Of each group given the mean of the one drawn before it."""
        return self._ancestral(lambda group, _: group.loc, then=lambda group: group.scale)

    def log_prob_per_group(self, value: Tensor) -> Tensor:
        """Log-density of each group given the one drawn before it, nats, (*lead, group)."""
        parts = value.split(self.sizes, -1)
        terms: list[Tensor] = [value.new_zeros(())] * len(parts)
        above: Tensor | None = None
        for i in self.order:
            terms[i] = self.conditional(i, above).log_prob(parts[i])
            above = parts[i]
        return torch.stack(torch.broadcast_tensors(*terms), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, nats."""
        return self.log_prob_per_group(value).sum(-1)

    def noise_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        """Shape of the standard normals that `from_noise` takes."""
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def from_noise(self, noise: Tensor, *, temperature: float = 1.0) -> Tensor:
        """An ancestral draw, differentiable; the temperature scales every group's normals."""
        parts = noise.split(self.sizes, -1)
        return self._ancestral(lambda group, i: group.from_noise(parts[i], temperature=temperature))

    def _ancestral(
        self,
        value_of: Callable[[DiagonalNormal, int], Tensor],
        *,
        then: Callable[[DiagonalNormal], Tensor] | None = None,
    ) -> Tensor:
        """Choose each group's value given the last one's; join the values, or what `then` says."""
        parts: dict[int, Tensor] = {}
        above: Tensor | None = None
        for i in self.order:
            group = self.conditional(i, above)
            above = value_of(group, i)
            parts[i] = above if then is None else then(group)
        return torch.cat([parts[i] for i in range(len(parts))], -1)
