"""The network that every peer serves, and the least code around it: PNG in, numbers out.

WEIGHTS is an .npz of the dense layers, read without this project's code; or a bundle's folder,
whose network is the project's own.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

MAX_BATCH = 64
Latents = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Network:
    """Encoder to the mean and the standard deviation of q(z|x), and decoder to pixels."""

    latents: int
    encoder: Callable[[Tensor], tuple[Tensor, Tensor]]
    decoder: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def encode(self, pixels: list[np.ndarray]) -> Latents:
        """Mean and standard deviation of each picture, (batch, latent) each."""
        mean, std = self.encoder(torch.from_numpy(np.stack(pixels)))
        return mean.numpy(), std.numpy()

    @torch.inference_mode()
    def decode(self, latents: list[np.ndarray]) -> np.ndarray:
        """Pixels in 0..1 of each latent, (batch, 1, height, width)."""
        return self.decoder(torch.from_numpy(np.concatenate(latents))).numpy()

    def draw(self, seed: int) -> np.ndarray:
        """One latent of the prior, (1, latent)."""
        return np.random.default_rng(seed).standard_normal((1, self.latents), dtype=np.float32)


def load(weights: str) -> Network:
    """Read the network, and let torch use one thread."""
    torch.set_num_threads(1)
    return _dense(np.load(weights)) if Path(weights).is_file() else _bundle(Path(weights))


def _dense(arrays: "np.lib.npyio.NpzFile") -> Network:
    encoder, decoder = _layers(arrays, "encoder"), _layers(arrays, "decoder")

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = encoder(x.flatten(1) * 2 - 1).chunk(2, dim=1)
        return mean, F.softplus(raw)

    def decode(z: Tensor) -> Tensor:
        return torch.sigmoid(decoder(z)).reshape(-1, 1, 28, 28)

    return Network(int(arrays["decoder.0.weight"].shape[1]), encode, decode)


def _layers(arrays: "np.lib.npyio.NpzFile", name: str) -> nn.Sequential:
    found: list[nn.Module] = []
    while f"{name}.{len(found) // 2}.weight" in arrays:
        weight, bias = (arrays[f"{name}.{len(found) // 2}.{part}"] for part in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        found += [layer, nn.ReLU()]
    return nn.Sequential(*found[:-1]).eval().requires_grad_(False)


def _bundle(path: Path) -> Network:
    from models.bundle.loading import load_bundle  # not where a library has its own environment

    vae = load_bundle(path).vae.eval().requires_grad_(False)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        q: Any = vae.posterior(x)
        return q.mean, q.scale

    return Network(int(np.prod(vae.latent_shape)), encode, lambda z: vae.likelihood(z).mean)


def read_png(body: bytes) -> np.ndarray:
    """Binary pixels of a grey PNG, (1, height, width)."""
    grey = np.asarray(Image.open(io.BytesIO(body)))
    return (grey >= 128).astype(np.float32)[None]


def read_npy(body: bytes) -> np.ndarray:
    """Array of a .npy file."""
    array: np.ndarray = np.load(io.BytesIO(body), allow_pickle=False)
    return array


def write_latents(mean: np.ndarray, std: np.ndarray) -> bytes:
    """JSON of one picture's latents."""
    return orjson.dumps({"mean": mean[None], "std": std[None]}, option=orjson.OPT_SERIALIZE_NUMPY)


def write_npy(pixels: np.ndarray) -> bytes:
    """One picture as a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, pixels[None])
    return buffer.getvalue()


def write_png(pixels: np.ndarray) -> bytes:
    """One picture in 0..1 as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.round(pixels[0] * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
