"""Encoders and decoders by the kind that a config names."""

from collections.abc import Callable
from typing import Any

from models.config import NetworkConfig
from models.vae.autoencoder_kl import KLDecoder, KLEncoder
from models.vae.networks import MLP, ConvDecoder, ConvEncoder, GatedMLP, Network, Shape

Maker = Callable[[Any, Shape, Shape], Network]
"""Makes a network from its config, in_shape and out_shape."""

NETWORKS: dict[str, tuple[Maker, Maker]] = {
    "mlp": (MLP, MLP),
    "gated_mlp": (GatedMLP, GatedMLP),
    "conv": (ConvEncoder, ConvDecoder),
    "autoencoder_kl": (KLEncoder, KLDecoder),
}
"""Encoder and decoder by the kind that a config names."""


def make_encoder(config: NetworkConfig, in_shape: Shape, out_shape: Shape) -> Network:
    """A network from the larger shape to the smaller one."""
    encoder, _ = NETWORKS[config.kind]
    return encoder(config, in_shape, out_shape)


def make_decoder(config: NetworkConfig, in_shape: Shape, out_shape: Shape) -> Network:
    """A network from the smaller shape to the larger one."""
    _, decoder = NETWORKS[config.kind]
    return decoder(config, in_shape, out_shape)
