"""Principal components beside a model's networks, which both networks correct.

    q(z|x) has the location  A halve(u - m) + s encoder's,  u the picture on the scale of [-1, 1]
    p(x|z) has the location  m + grow(B z) + decoder's,   on the same scale

A, B, s and the mean m are fixed: training fits them before its first step, and learns the networks
alone. With networks that give 0, reconstructions are those of a PCA with as many components as
latents. `halve` and `grow` change the sides of large pictures, so that A and B stay small. Both
are sums of few elements, whose bits do not depend on a row's place.
"""

from math import prod
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.config import MLPConfig
from models.vae.networks import MLP, Shape, halved_sizes

_AFFINE = MLPConfig(hidden=())
_MOST_NUMBERS = 4_096
"""Numbers of a picture that A and B take and give: larger ones are halved until they have fewer."""

Pictures = Float[Tensor, "*lead channel height width"]
Latents = Float[Tensor, "*lead latent"]
Small = Float[Tensor, "*lead channel small_height small_width"]


class PrincipalPath(nn.Module):
    """Fixed affine maps between pictures and latents; both are 0 until they are fitted."""

    def __init__(self, image_shape: tuple[int, int, int], latent_shape: Shape) -> None:
        super().__init__()
        channels, *size = image_shape
        small = next(
            n for n in range(16) if channels * prod(halved_sizes(size, n)[-1]) <= _MOST_NUMBERS
        )
        self.sizes = halved_sizes(size, small)
        shape = (channels, *self.sizes[-1])
        # Tensor names in bundles begin with these names: they cannot change.
        self.encoder = MLP(_AFFINE, shape, latent_shape)
        self.decoder = MLP(_AFFINE, latent_shape, shape)
        self.mean = nn.Parameter(torch.zeros(image_shape))
        self.scale = nn.Parameter(torch.ones(latent_shape), requires_grad=False)
        for parameter in (self.mean, *self.encoder.parameters(), *self.decoder.parameters()):
            nn.init.zeros_(parameter).requires_grad_(False)

    def location(self, pictures: Pictures) -> Latents:
        """A halve(u - m), which the encoder's location is added to."""
        with torch.autocast(pictures.device.type, enabled=False):
            return cast(Tensor, self.encoder(self.halve(pictures - self.mean)))

    def move(self, params: Float[Tensor, "batch parameter latent"], pictures: Pictures) -> Tensor:
        """A posterior's parameters, of which the first is its location, about that of pictures."""
        location = self.location(pictures).unsqueeze(1) + self.scale * params[:, :1]
        return torch.cat([location, params[:, 1:]], 1)

    def picture(self, z: Latents) -> Pictures:
        """m + grow(B z), which the decoder's location is added to."""
        with torch.autocast(z.device.type, enabled=False):
            return self.mean + self.grow(self.decoder(z))

    def halve(self, pictures: Pictures) -> Small:
        """Means of squares of pixels, as large as A takes them."""
        for _ in self.sizes[1:]:
            for axis in (-2, -1):
                if pictures.shape[axis] % 2:
                    last = pictures.narrow(axis, -1, 1)
                    pictures = torch.cat([pictures, last], axis)
                first, second = pictures.unflatten(axis, (-1, 2)).unbind(axis)
                pictures = (first + second) / 2
        return pictures

    def grow(self, pictures: Small) -> Pictures:
        """Linear interpolation between the pixels that B gives, up to the picture's own size."""
        for size in reversed(self.sizes[:-1]):
            for axis, length in zip((-2, -1), size, strict=True):
                ends = (pictures.narrow(axis, 0, 1), pictures.narrow(axis, -1, 1))
                quarter = torch.cat([ends[0], pictures, ends[1]], axis) / 4
                near, count = pictures * 0.75, pictures.shape[axis]
                before, after = (quarter.narrow(axis, start, count) for start in (0, 2))
                pairs = torch.stack([near + before, near + after], axis)
                pictures = pairs.flatten(axis - 1, axis).narrow(axis, 0, length)
        return pictures
