"""What training maximises; a new objective is one class here. Evaluation uses `models.bounds`.

    ELBO   loss = -(E_q[log p(x|z)] - kl_weight KL(q(z|x) || p(z)))
    IWAE   loss = -log (1/K) sum_k p(x, z_k) / q(z_k|x)

Nats per datum, batch means.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from models.bounds import iwae_bound, kl_divergence
from models.vae import VAE


class Terms(NamedTuple):
    """The minimised scalar, and the parts of the ELBO at the same draws; batch means in nats."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor


class Objective(nn.Module, ABC):
    """What a step minimises, as a function of a batch and its noise."""

    def __init__(self, vae: VAE) -> None:
        """Train this model's parameters."""
        super().__init__()
        self.vae = vae

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "sample batch ..."],
        *,
        kl_weight: float,
    ) -> Terms:
        """The objective of a batch.

        Args:
            x: Observations in the likelihood's support.
            noise: Standard normals, (sample, batch, *latent_shape).
            kl_weight: 1, or less while the KL is warmed up.
        """


class ELBO(Objective):
    """Minus the evidence lower bound, with the closed-form KL.

    Source: Kingma and Welling 2014, arXiv:1312.6114, equation 10; KL warm-up: Bowman et al. 2016,
        arXiv:1511.06349, section 3.1.
    """

    def forward(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "sample batch ..."],
        *,
        kl_weight: float,
    ) -> Terms:
        """See `Objective.forward`."""
        posterior = self.vae.posterior(x)
        log_likelihood = self.vae.likelihood(posterior.from_noise(noise)).log_prob(x).mean()
        kl = kl_divergence(posterior, self.vae.prior()).mean()
        return Terms(kl_weight * kl - log_likelihood, log_likelihood, kl)


class IWAE(Objective):
    """Minus the importance-weighted bound, with the plain reparameterised gradient.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equations 8 and 13.
    """

    def forward(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "sample batch ..."],
        *,
        kl_weight: float,
    ) -> Terms:
        """See `Objective.forward`; there is no KL term to weigh here."""
        posterior, prior = self.vae.posterior(x), self.vae.prior()
        z = posterior.from_noise(noise)
        log_likelihood = self.vae.likelihood(z).log_prob(x)
        log_w = log_likelihood + prior.log_prob(z) - posterior.log_prob(z)
        kl = kl_divergence(posterior, prior).mean()
        return Terms(-iwae_bound(log_w).mean(), log_likelihood.mean(), kl)


OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "iwae": IWAE}
