"""The encoder and the decoder of diffusers' `AutoencoderKL`, which latent diffusion models use.

Residual blocks with group normalisation at successively halved resolutions, and attention among
all places of the deepest one. A row goes through by itself: at such sizes several at a time gain
nothing, and a row's bits depend on no other, whatever the library does with a batch.

Source: Rombach et al. 2022, arXiv:2112.10752, appendix E.1; Esser, Rombach and Ommer 2021,
    arXiv:2012.09841.
"""

from itertools import pairwise
from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AutoencoderKLConfig
from models.vae.networks import Network, Shape

_EPSILON = 1e-6
"""Of the variance in a group's normalisation."""
_LOG_VARIANCE = (-30.0, 20.0)
"""Limits of the log-variance."""


class RowByRow(Network):
    """A network that takes one row at a time, in as much memory as one needs."""

    least_rows = 1
    block_rows = 1

    def __init__(self, in_shape: Shape, out_shape: Shape, layers: list[nn.Module]) -> None:
        super().__init__(in_shape, out_shape)
        self.row_multiple = 1
        self.body = nn.Sequential(*layers)

    def _evaluate_blocks(self, rows: Tensor) -> Tensor:
        # A copy: a view may begin anywhere in memory.
        return torch.cat([self._evaluate(row.clone()) for row in rows.split(1)])

    def freeze(self) -> None:
        """Nothing to find out: a row has no neighbours."""


class KLEncoder(RowByRow):
    """From a picture in [-1, 1] to the latents' locations, and scales before the softplus."""

    def __init__(self, config: AutoencoderKLConfig, in_shape: Shape, out_shape: Shape) -> None:
        """From (channel, height, width) to (2, latent channel, height / 2^n, width / 2^n)."""
        latent = prod(out_shape[:-2])
        layers: list[nn.Module] = [_conv(in_shape[0], config.channels[0])]
        for i, (before, width) in enumerate(_steps(config.channels)):
            layers += _blocks(config, before, width, config.blocks)
            if i < len(config.channels) - 1:
                layers.append(Halve(width))
        layers += _middle(config)
        layers += [
            _norm(config, config.channels[-1]),
            nn.SiLU(),
            _conv(config.channels[-1], latent),
        ]
        if config.latent_conv:
            layers.append(nn.Conv2d(latent, latent, 1))
        super().__init__(in_shape, out_shape, [*layers, LogVarianceToRawScale()])


class KLDecoder(RowByRow):
    """From a latent to a picture on the unit scale, which may exceed [0, 1]."""

    def __init__(self, config: AutoencoderKLConfig, in_shape: Shape, out_shape: Shape) -> None:
        """From (latent channel, height / 2^n, width / 2^n) to (channel, height, width)."""
        channels = config.channels[::-1]
        layers: list[nn.Module] = []
        if config.latent_conv:
            layers.append(nn.Conv2d(in_shape[0], in_shape[0], 1))
        layers += [_conv(in_shape[0], channels[0]), *_middle(config)]
        for i, (before, width) in enumerate(_steps(channels)):
            layers += _blocks(config, before, width, config.blocks + 1)
            if i < len(channels) - 1:
                layers.append(Double(width))
        layers += [_norm(config, channels[-1]), nn.SiLU(), _conv(channels[-1], out_shape[0])]
        super().__init__(in_shape, out_shape, [*layers, ToUnitScale()])


def _steps(channels: tuple[int, ...]) -> list[tuple[int, int]]:
    """Channels before and after the first block of each resolution."""
    return list(pairwise((channels[0], *channels)))


def _conv(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1)


def _norm(config: AutoencoderKLConfig, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.groups, channels, eps=_EPSILON)


def _blocks(config: AutoencoderKLConfig, before: int, width: int, count: int) -> list[nn.Module]:
    widths = pairwise((before, *[width] * count))
    return [NormalizedBlock(config, channels, out) for channels, out in widths]


def _middle(config: AutoencoderKLConfig) -> list[nn.Module]:
    width = config.channels[-1]
    attention = [Attention(config, width)] if config.attention else []
    first, last = (NormalizedBlock(config, width, width) for _ in range(2))
    return [first, *attention, last]


class NormalizedBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), both 3x3; x through a 1x1 where widths differ."""

    def __init__(self, config: AutoencoderKLConfig, channels: int, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(config, channels), _conv(channels, width)
        self.norm2, self.conv2 = _norm(config, width), _conv(width, width)
        self.conv_shortcut = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """From (row, channels, h, w) to (row, width, h, w)."""
        hidden = self.conv1(F.silu(self.norm1(inputs)))
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return cast(Tensor, self.conv_shortcut(inputs) + hidden)


class Attention(nn.Module):
    """x + attention of every place to all places, with one head, of the normalised x."""

    def __init__(self, config: AutoencoderKLConfig, channels: int) -> None:
        super().__init__()
        self.norm = _norm(config, channels)
        self.query, self.key, self.value, self.out = (
            nn.Linear(channels, channels) for _ in range(4)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Same shape out."""
        places = self.norm(inputs).flatten(2).mT.unsqueeze(1)
        found = F.scaled_dot_product_attention(
            self.query(places), self.key(places), self.value(places)
        )
        return inputs + cast(Tensor, self.out(found.squeeze(1))).mT.reshape(inputs.shape)

    @staticmethod
    def macs_beside_weights(outputs: Tensor) -> int:
        """Multiply-accumulates of queries with keys, and of their weights with values."""
        return 2 * outputs.numel() * prod(outputs.shape[2:])


class Halve(nn.Module):
    """Halves the sides: a 3x3 convolution of stride 2, with zeros below and on the right."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (row, channels, h, w) to (row, channels, h / 2, w / 2)."""
        return cast(Tensor, self.conv(F.pad(inputs, (0, 1, 0, 1))))


class Double(nn.Module):
    """Doubles the sides: every pixel twice in both directions, then a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels)

    def forward(self, inputs: Tensor) -> Tensor:
        """From (row, channels, h, w) to (row, channels, 2 h, 2 w)."""
        return cast(Tensor, self.conv(F.interpolate(inputs, scale_factor=2.0, mode="nearest")))


class LogVarianceToRawScale(nn.Module):
    """Locations and log-variances to locations and what the softplus makes the scales of."""

    def forward(self, params: Tensor) -> Tensor:
        """(row, 2 latent channels, h, w), same shape out."""
        loc, log_variance = params.chunk(2, dim=1)
        scale = (0.5 * log_variance.clamp(*_LOG_VARIANCE)).exp()
        # The softplus's inverse, log(e^s - 1), which for a large s is s.
        return torch.cat([loc, scale + torch.log(-torch.expm1(-scale))], dim=1)


class ToUnitScale(nn.Module):
    """From -1 for black and 1 for white to 0 and 1."""

    def forward(self, picture: Tensor) -> Tensor:
        """Same shape out."""
        return picture / 2 + 0.5
