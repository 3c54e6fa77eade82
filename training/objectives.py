"""What training maximises; a new objective is one module here. Evaluation uses `models.bounds`.

loss = -(E_q[log p(x|z)] - kl_weight KL(q(z|x) || p(z))),  nats per datum, batch mean
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from models.bounds import kl_divergence
from models.vae import VAE


class Objective(NamedTuple):
    """The minimised scalar and its parts, batch means in nats per datum."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor


class ELBO(nn.Module):
    """Minus the evidence lower bound with an analytic KL, one draw per datum.

    Source: Kingma and Welling 2014, arXiv:1312.6114, equation 10; KL warm-up: Bowman et al. 2016,
        arXiv:1511.06349, section 3.1.
    """

    def __init__(self, vae: VAE) -> None:
        """Train this model's parameters."""
        super().__init__()
        self.vae = vae

    def forward(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "batch ..."],
        *,
        kl_weight: float,
    ) -> Objective:
        """The objective of a batch.

        Args:
            x: Observations in the likelihood's support.
            noise: Standard normals, (batch, *latent_shape).
            kl_weight: 1 for the ELBO; less during warm-up.
        """
        posterior = self.vae.posterior(x)
        z = posterior.from_noise(noise)
        log_likelihood = self.vae.likelihood(z).log_prob(x).mean()
        kl = kl_divergence(posterior, self.vae.prior()).mean()
        return Objective(kl_weight * kl - log_likelihood, log_likelihood, kl)
