"""Pictures, noise and models that the tests of objectives share."""

import torch
from torch import Tensor

from models.vae.model import VAE
from tests.models.family_cases import family
from training.fit.objectives import Position

START = Position(step=0, epoch=0.0, progress=0.0)


def binary(count: int, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (count, 1, 4, 4), generator=generator).double()


def number(value: Tensor | float) -> float:
    """Torch warns where float() forgets a gradient."""
    return value.item() if isinstance(value, Tensor) else value


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def of_family(name: str, **fields: object) -> VAE:
    torch.manual_seed(0)
    vae = VAE(family(name, **fields)).double().eval()
    if vae.num_labels:  # they begin at zero, where labels would not matter to the encoder
        torch.nn.init.normal_(vae.label_pictures)
    return vae
