"""The start of training: Glorot's weights, and biases from the distribution of single pixels.

The last biases of the decoder, and a learned scale, are fitted alone with the last weights at zero,
so that p(x|z) is the same for every z. From torch's initial weights a run would spend its first
thousands of steps on narrowing the likelihood's scales to those of pictures. Where the decoder
doubles its sides, the four pixels that one becomes start equal: runs on small data sets are too
short to unlearn a chequerboard.
"""

from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.vae.model import VAE
from models.vae.networks import Grow, ResidualBlock

_PIXELS = 2**14
# Together they limit how far a bias moves: scales stay wide enough to learn locations with.
_STEPS, _RATE = 100, 0.03
_RATE_ABOUT = 0.06
"""The rate where a principal path gives the locations, and scales are those of what it leaves."""
_SPREAD = 0.5
KEPT = 0.3
"""Share of torch's last weights that `start_from_marginal` keeps."""


def num_start_images(vae: VAE) -> int:
    """The number of images that `start_from_marginal` takes: 2^14 pixels, at least 8 images."""
    return max(8, _PIXELS // prod(vae.image_shape[1:]))


@torch.no_grad()
def start_glorot(vae: VAE) -> None:
    """Draw the weights of every layer anew, and set its biases to zero.

    Weights are uniform in +-sqrt(6 / (fan_in + fan_out)), by torch's ambient randomness. The last
    convolution of a residual block stays zero, as do the pictures of labels, which are biases.

    Source: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward
        neural networks, equation 16.
    """
    zero = {block.second for block in vae.modules() if isinstance(block, ResidualBlock)}
    for layer in vae.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            if layer not in zero:
                nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def start_from_marginal(
    vae: VAE, x: Float[Tensor, "batch channel height width"], *, kept: float = KEPT
) -> None:
    """Fit the decoder's last biases, and a learned scale, to observations; shrink the last weights.

    Components of a mixture start apart from each other, by torch's ambient randomness.

    Args:
        vae: A model with its initial weights; changed in place.
        x: Observations of the training split, `num_start_images` of them.
        kept: Factor of the decoder's last weights.

    Source: after Burda et al. 2016, arXiv:1509.00519, whose biases start at the pixels' mean; and
        Aitken et al. 2017, arXiv:1707.02937, for the growth.
    """
    for layer in vae.decoder.modules():
        if isinstance(layer, Grow):
            layer.start_smooth()
    *_, last = (
        layer for layer in vae.decoder.modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    )
    assert last.bias is not None
    bias, weight = last.bias, last.weight.detach().clone()
    spread = _SPREAD * torch.randn(vae.decoder.out_shape[0])
    nothing = torch.zeros(1, *vae.decoder.in_shape)
    likelihood = vae.get_submodule("_likelihood")
    about: tuple[Tensor, ...] = ()
    if vae.config.principal_path:
        with torch.no_grad():
            location = vae.principal.location(x * (2 / vae.unit_scale) - 1)
            about = (vae.principal.picture(location),)
    with torch.no_grad():
        last.weight.zero_()
        # A parameter's biases stand side by side: one per pixel, or per place in a pixel shuffle.
        bias.copy_(spread.repeat_interleave(len(bias) // len(spread)))
    fitted = [bias, *likelihood.parameters()]
    optimizer = torch.optim.Adam(fitted, lr=_RATE_ABOUT if about else _RATE)
    for _ in range(_STEPS):
        loss = -likelihood(vae.decoder(nothing), *about).log_prob(x).mean()
        for parameter, gradient in zip(fitted, torch.autograd.grad(loss, fitted), strict=True):
            parameter.grad = gradient
        optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        last.weight.copy_(kept * weight)
