"""Neural networks of encoders and decoders: (*lead, *in_shape) to (*lead, *out_shape).

Outside training the bits of a row do not depend on its neighbours or its position:
- rows are padded to a multiple of `MIN_ROWS`, because matrix libraries take other kernels for tiny
  operands and for the rows left over; a frozen network, to the least multiple that this machine's
  kernels need (`Network.freeze`);
- inputs of dense layers are padded to a multiple of 4, because a row that does not begin on a
  boundary of 16 bytes is summed in another order;
- silu is our own, because torch's rounds otherwise in a tensor's last places (exp does not).

So many rows can be run some at a time: on a CPU a network runs blocks whose activations stay small
(`Network.block_rows`).
"""

from collections.abc import Sequence
from functools import cached_property
from math import ceil, prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import ConvConfig, GatedMLPConfig, MLPConfig
from models.errors import ConfigError, ShapeMismatch
from models.vae.products import affine

MIN_ROWS = 16
_FEWER_ROWS = (2, 4, 8)
"""Smaller multiples to which a frozen network pads where a row's bits are the same so."""
_TRIED_ROWS, _SIZES = 96, (1, 2, 3, 5)
"""Rows of the trial, and sizes of its batches in multiples."""
_BLOCK_BYTES = 2 * 1024**2
"""Largest activation of a block. The memory of a larger one is fetched from the operating system,
page by page, for each layer anew: half of the time."""

Shape = tuple[int, ...]


class Network(nn.Module):
    """Flattens the leading axes to rows, pads their number to a multiple, runs `body`."""

    body: nn.Sequential
    least_rows = MIN_ROWS
    """Up to so many rows take about as long as one."""

    def __init__(self, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__()
        self.in_shape, self.out_shape = in_shape, out_shape
        self.row_multiple = MIN_ROWS

    def forward(self, inputs: Tensor) -> Tensor:
        """From (*lead, *in_shape) to (*lead, *out_shape).

        Raises:
            ShapeMismatch: The trailing axes are not `in_shape`.
        """
        lead = inputs.shape[: inputs.ndim - len(self.in_shape)]
        if inputs.shape[len(lead) :] != self.in_shape:
            raise ShapeMismatch(
                f"The network's input has shape {tuple(inputs.shape)}; its last axes must be "
                f"{self.in_shape}. Put the batch and sample axes first.",
                received=list(inputs.shape),
                allowed=self.in_shape,
            )
        count = prod(lead)
        rows = inputs.reshape(count, *self.in_shape)
        if self.training:
            outputs = cast(Tensor, self.body(rows))
        else:
            # Always a copy: a view may begin anywhere in memory.
            rows = torch.cat([rows, rows.new_zeros(-count % self.row_multiple, *self.in_shape)])
            outputs = self._evaluate_blocks(rows)[:count]
        return outputs.reshape(*lead, *self.out_shape)

    def forward_each(self, inputs: Tensor, shifts: Tensor) -> Tensor:
        """Outputs of the inputs plus each shift, in training.

        The first layer is affine: it takes the inputs once and the shifts once, not their sums.

        Args:
            inputs: (batch, *in_shape).
            shifts: (shift, *in_shape).

        Returns:
            (shift * batch, *out_shape): all rows of the first shift, then of the second, ...
        """
        flatten, first, rest = self._around_first()
        layer: nn.Module = first.linear if isinstance(first, GatedLinear) else first
        of_inputs = layer(flatten(inputs))
        of_shifts = layer(flatten(shifts)) - layer(flatten(shifts.new_zeros(1, *self.in_shape)))
        rows = (of_shifts.unsqueeze(1) + of_inputs).flatten(0, 1)
        outputs = rest(F.glu(rows) if isinstance(first, GatedLinear) else rows)
        return cast(Tensor, outputs.reshape(len(rows), *self.out_shape))

    def _around_first(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """`body` before its first layer that has weights, that layer, and after it."""
        index = next(
            i for i, layer in enumerate(self.body) if any(True for _ in layer.parameters())
        )
        return self.body[:index], self.body[index], self.body[index + 1 :]

    @cached_property
    def block_rows(self) -> int:
        """Rows that a CPU runs at a time: their widest activation has at most 2 MiB."""
        rows = next(self.parameters()).new_zeros(1, *self.in_shape)
        widest = rows.nbytes
        with torch.no_grad():
            for layer in self.body:
                rows = layer(rows)
                widest = max(widest, rows.nbytes)
        return max(1, _BLOCK_BYTES // (widest * MIN_ROWS)) * MIN_ROWS

    def _evaluate_blocks(self, rows: Tensor) -> Tensor:
        if rows.device.type != "cpu" or len(rows) <= MIN_ROWS or len(rows) <= self.block_rows:
            return self._evaluate(rows)
        return torch.cat([self._evaluate(block) for block in rows.split(self.block_rows)])

    def _evaluate(self, rows: Tensor) -> Tensor:
        """`body` without dropout, whose modules take time and do nothing."""
        for layer in self.body:
            if not isinstance(layer, nn.Dropout):
                rows = layer(rows)
        return rows

    @torch.no_grad()
    def freeze(self) -> None:
        """Find the least multiple of rows at which a row's bits depend on nothing but itself.

        One row costs a third of 16. Which kernels a library takes for few rows depends on the
        machine: so it is tried here, on random rows of any place in batches of several sizes.
        """
        weight = next(self.parameters())
        random = torch.Generator().manual_seed(0)
        rows = torch.randn(_TRIED_ROWS, *self.in_shape, generator=random).to(weight)
        whole = self._evaluate(rows)

        def is_same(start: int, count: int) -> bool:
            alone = self._evaluate(rows[start : start + count].clone())
            return torch.equal(alone, whole[start : start + count])

        self.row_multiple = next(
            (
                multiple
                for multiple in _FEWER_ROWS
                if all(is_same(multiple * size, multiple * size) for size in _SIZES)
            ),
            MIN_ROWS,
        )


class Dense(nn.Linear):
    """A dense layer; outside training a row's bits do not depend on its position."""

    def forward(self, input: Tensor) -> Tensor:
        """From (row, in_features) to (row, out_features)."""
        short = 0 if self.training else -self.in_features % 4
        if not short:
            return affine(input, self.weight, self.bias)
        return affine(F.pad(input, (0, short)), F.pad(self.weight, (0, short)), self.bias)


class SiLU(nn.Module):
    """x * sigmoid(x), bit for bit the same anywhere in a tensor outside training."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape out."""
        if self.training or inputs.requires_grad:  # its gradient is finite for any input
            return F.silu(inputs)
        return inputs / torch.exp(-inputs).add_(1)


class MLP(Network):
    """Dense layers with one activation; affine when there is no hidden layer."""

    def __init__(self, config: MLPConfig, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__(in_shape, out_shape)
        layers: list[nn.Module] = [nn.Flatten()]
        width = prod(in_shape)
        for hidden in config.hidden:
            layers += [
                Dense(width, hidden),
                ACTIVATIONS[config.activation](),
                nn.Dropout(config.dropout),
            ]
            width = hidden
        self.body = nn.Sequential(*layers, Dense(width, prod(out_shape)))


class GatedLinear(nn.Module):
    """(W x + b) * sigmoid(V x + c). Source: Tomczak and Welling 2018, arXiv:1705.07120."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = Dense(in_features, 2 * out_features)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (row, in_features) to (row, out_features)."""
        return F.glu(self.linear(inputs))


class GatedMLP(Network):
    """Dense gated layers, then an affine one."""

    def __init__(self, config: GatedMLPConfig, in_shape: Shape, out_shape: Shape) -> None:
        super().__init__(in_shape, out_shape)
        layers: list[nn.Module] = [nn.Flatten()]
        width = prod(in_shape)
        for hidden in config.hidden:
            layers += [GatedLinear(width, hidden), nn.Dropout(config.dropout)]
            width = hidden
        self.body = nn.Sequential(*layers, Dense(width, prod(out_shape)))


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))), both 3x3; the identity at the start of training."""

    def __init__(self, channels: int, dropout: float) -> None:
        """The second convolution starts at zero."""
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.silu, self.dropout = SiLU(), nn.Dropout(dropout)
        nn.init.zeros_(self.second.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape out."""
        hidden = self.silu(self.first(self.silu(inputs)))
        return inputs + cast(Tensor, self.second(self.dropout(hidden)))


class Grow(nn.Module):
    """Doubles the sides (1x1 convolution to 4 times the channels, then pixel shuffle) and crops."""

    def __init__(
        self, in_channels: int, out_channels: int, size: tuple[int, int], *, kernel: int = 1
    ) -> None:
        """`size` is the height and width to crop to."""
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4 * out_channels, kernel, padding=kernel // 2)
        self.silu = SiLU()
        self.height, self.width = size

    @torch.no_grad()
    def start_smooth(self) -> None:
        """Make the four pixels that one becomes equal: growth by repetition.

        Source: Aitken et al. 2017, arXiv:1707.02937.
        """
        for parameter in (self.conv.weight, cast(Tensor, self.conv.bias)):
            parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def forward(self, inputs: Tensor) -> Tensor:
        """From (row, in_channels, h, w) to (row, out_channels, height, width)."""
        grown = F.pixel_shuffle(self.conv(self.silu(inputs)), 2)
        return grown[..., : self.height, : self.width]


class ConvEncoder(Network):
    """Strided convolutions with residual blocks between them, then one dense layer.

    Outputs that have the deepest resolution themselves come from a convolution instead.
    """

    def __init__(self, config: ConvConfig, in_shape: Shape, out_shape: Shape) -> None:
        """From (*channel, height, width)."""
        super().__init__(in_shape, out_shape)
        channels, size = _planes(in_shape)
        layers: list[nn.Module] = [nn.Flatten(1, -3)] if len(in_shape) > 3 else []
        for i, (width, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            kernel = 5 if i == 0 else 3
            layers.append(nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2))
            layers += _blocks(width, blocks, config.dropout)
            layers.append(SiLU())
            channels = width
        deepest = halved_sizes(size, len(config.channels))[-1]
        if len(out_shape) > 2 and out_shape[-2:] == deepest:
            layers.append(nn.Conv2d(channels, prod(out_shape[:-2]), 3, padding=1))
        else:
            flat = channels * prod(deepest)
            layers += [nn.Flatten(), nn.Dropout(config.dropout), Dense(flat, prod(out_shape))]
        self.body = nn.Sequential(*layers)


class ConvDecoder(Network):
    """One dense layer, then residual blocks with sub-pixel growth between them.

    Inputs that have the deepest resolution themselves go through a convolution instead.
    """

    def __init__(self, config: ConvConfig, in_shape: Shape, out_shape: Shape) -> None:
        """To (num_params, height, width)."""
        super().__init__(in_shape, out_shape)
        num_params, size = _planes(out_shape)
        sizes = halved_sizes(size, len(config.channels))
        deepest = (config.channels[-1], *sizes[-1])
        layers: list[nn.Module]
        if len(in_shape) > 2 and in_shape[-2:] == sizes[-1]:
            channels = prod(in_shape[:-2])
            layers = [nn.Flatten(1, -3), nn.Conv2d(channels, config.channels[-1], 3, padding=1)]
        else:
            dense = Dense(prod(in_shape), prod(deepest))
            layers = [nn.Flatten(), dense, nn.Unflatten(1, deepest)]
        for i in reversed(range(len(config.channels))):
            layers += _blocks(config.channels[i], config.blocks[i], config.dropout)
            if i > 0:
                layers.append(Grow(config.channels[i], config.channels[i - 1], sizes[i]))
        layers.append(Grow(config.channels[0], num_params, sizes[0], kernel=3))
        self.body = nn.Sequential(*layers)


def _blocks(channels: int, count: int, dropout: float) -> list[nn.Module]:
    return [ResidualBlock(channels, dropout) for _ in range(count)]


def _planes(shape: Shape) -> tuple[int, Shape]:
    """Channels, whatever their axes, and (height, width)."""
    if len(shape) < 3:
        raise ConfigError(
            f"A conv network cannot take the shape {list(shape)}: it has no height and width. Set "
            "the network's kind to 'mlp', or give the shape (channel, height, width).",
            received=list(shape),
        )
    return prod(shape[:-2]), shape[-2:]


def halved_sizes(size: Sequence[int], halvings: int) -> list[tuple[int, int]]:
    """Sizes from the full one to the one halved `halvings` times, rounding up."""
    sizes = [(size[0], size[1])]
    for _ in range(halvings):
        height, width = sizes[-1]
        sizes.append((ceil(height / 2), ceil(width / 2)))
    return sizes


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": SiLU,
    "gelu": nn.GELU,
}
