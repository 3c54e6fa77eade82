"""Steps in centred coordinates: the first layer of an encoder learns as if its inputs had mean 0.

W u + b = W (u - c) + b' with b' = b + W c, where c is the mean picture. An encoder takes pictures u
in [-1, 1], and those that are mostly black are nearly -1: a step that changes every weight of a
unit a little then moves the unit as a whole by their sum. In the coordinates (W, b') it does not.
The model keeps W and b: what is saved, averaged and served is the same model as without.

With b = b' - W c, the gradient for W is G - g c', where G and g are those for W and b.

Source: LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp, section 4.3.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.images.levels import cached_levels
from models.vae.model import VAE
from training.fit.batches import Data
from training.recipes.recipe import Recipe

_MOST = 10_000
"""Images of the mean picture."""


class Centring:
    """Turns the optimizer's step in (W, b) into one in (W, b')."""

    def __init__(self, vae: VAE, mean: Float[Tensor, "channel height width"]) -> None:
        """Centre the encoder's first layer.

        Args:
            vae: The model, on its device.
            mean: The mean picture, in [0, 1].
        """
        assert vae.encoder is not None
        layer = next(part for part in vae.encoder.modules() if isinstance(part, nn.Linear))
        self._weight, self._bias = layer.weight, layer.bias
        self._mean = (mean.flatten() * 2 - 1).to(layer.weight)

    @torch.no_grad()
    def start(self) -> None:
        """Let the layer begin with b' where it would have begun with b."""
        self._bias.sub_(self._weight @ self._mean)

    @torch.no_grad()
    def before_step(self) -> None:
        """Turn the gradient for (W, b) into that for (W, b')."""
        assert self._weight.grad is not None
        assert self._bias.grad is not None
        self._weight.grad.addr_(self._bias.grad, self._mean, alpha=-1)
        self._shift = self._weight @ self._mean

    @torch.no_grad()
    def after_step(self) -> None:
        """Turn b', which the optimizer changed, back into b."""
        self._bias.add_(self._shift - self._weight @ self._mean)


def mean_picture(data: Data, recipe: Recipe) -> Float[Tensor, "channel height width"]:
    """The mean of at most 10,000 training images, in [0, 1]; the same for every start of a run."""
    every = max(1, len(data.cache) // _MOST)
    mean = data.cache[::every][:_MOST].double().mean(0)
    return mean / (cached_levels(recipe.image) - 1)
