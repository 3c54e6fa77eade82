"""Bounds and summaries of log-weights: IWAE bound, rate, distortion, bits per dim.

    L_K  = E[log (1/K) sum_k w_k],    ELBO = L_1 <= L_K <= L_(K+1) <= log p(x)
    rate = E_data[KL],  distortion = -E_data[E_q[log p(x|z)]],  rate + distortion = -E_data[ELBO]

Everything is in nats per datum. Served scores and evaluation compute the same bound from a stream:
`importance_weights.RunningWeights.estimate`.
"""

import math

from jaxtyping import Float
from torch import Tensor

from models.errors import ShapeMismatch
from models.vae.model import VAE


def iwae_bound(log_w: Float[Tensor, "sample batch"]) -> Float[Tensor, " batch"]:
    """Importance-weighted lower bound on log p(x).

    log of the mean of w_k = p(x, z_k) / q(z_k | x) over K draws z_k ~ q(z | x). K = 1 estimates the
    ELBO; the expected bound rises with K. Not an unbiased estimate of log p(x).

    Args:
        log_w: Importance log-weights, nats.

    Returns:
        The bound of each datum, nats; larger is tighter.

    Raises:
        ShapeMismatch: There are no samples.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
    """
    if log_w.ndim != 2 or len(log_w) == 0:
        raise ShapeMismatch(
            f"log_w has the shape {tuple(log_w.shape)} instead of (sample, batch) with at least "
            "one sample. Draw some samples first.",
            parameter="log_w",
        )
    return log_w.logsumexp(0) - math.log(len(log_w))


def rate(kl_nats: Float[Tensor, " batch"]) -> float:
    """Data mean of the KL, nats per datum: what the latent costs to send.

    Source: Alemi et al. 2018, arXiv:1711.00464.
    """
    return float(kl_nats.double().mean())


def distortion(expected_log_likelihood_nats: Float[Tensor, " batch"]) -> float:
    """Data mean of -E_q[log p(x|z)], nats per datum.

    Source: Alemi et al. 2018, arXiv:1711.00464.
    """
    return -float(expected_log_likelihood_nats.double().mean())


def bits_per_dim(log_px_nats: Tensor, num_dimensions: int) -> Tensor:
    """-log p(x) / (D ln 2), of a mass only; an upper bound when it comes from a lower bound."""
    return -log_px_nats / (num_dimensions * math.log(2))


def squared_error(vae: VAE, x: Float[Tensor, "batch channel height width"]) -> Tensor:
    """Squared error of each image's reconstruction on the unit scale, summed over its elements."""
    picture = vae.likelihood(vae.posterior(x).mean).mean
    return (x - picture).square().flatten(1).sum(1)
