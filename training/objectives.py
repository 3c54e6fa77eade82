"""What training maximises; a new objective is one class here. Evaluation uses `models.bounds`.

    ELBO   loss = -(E_q[log p(x|z)] - kl_weight KL(q(z|x) || p(z)))
    IWAE   loss = -log (1/K) sum_k p(x, z_k) / q(z_k|x)

Nats per datum, batch means.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn

from models.bounds import iwae_bound, kl_divergence
from models.vae import VAE


class Batch(NamedTuple):
    """What a step learns from."""

    x: Float[Tensor, "batch channel height width"]
    """Observations in the likelihood's support."""
    y: Int64[Tensor, " batch"] | None = None
    """Labels, where the data set has them."""


class At(NamedTuple):
    """Where in its run a step is: what every annealing is a function of."""

    step: int
    """From 0."""
    epoch: float
    """Epochs done, with the fraction of this one."""
    progress: float
    """Part of the run that is done, from 0 to below 1."""


class Terms(NamedTuple):
    """The minimised scalar, and the parts of the ELBO at the same draws; batch means in nats."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor
    scalars: Mapping[str, Tensor | float] = MappingProxyType({})
    """What else the log shows, each by its name there; means over the steps since the last line."""


class Objective(nn.Module, ABC):
    """What a step minimises, as a function of a batch, its noise and where in the run it is."""

    def __init__(self, vae: VAE, *, kl_warmup_epochs: float = 0.0) -> None:
        """Train this model's parameters; an objective without a KL term has none to warm up."""
        super().__init__()
        self.vae = vae
        self.kl_warmup_epochs = kl_warmup_epochs

    @abstractmethod
    def forward(self, batch: Batch, noise: Float[Tensor, "sample batch ..."], at: At) -> Terms:
        """The objective of a batch.

        Args:
            batch: What is learnt from.
            noise: Standard normals, (sample, batch, *latent_shape).
            at: Where in the run the step is.
        """


class ELBO(Objective):
    """Minus the evidence lower bound, with the closed-form KL.

    Source: Kingma and Welling 2014, arXiv:1312.6114, equation 10; KL warm-up: Bowman et al. 2016,
        arXiv:1511.06349, section 3.1.
    """

    def forward(self, batch: Batch, noise: Float[Tensor, "sample batch ..."], at: At) -> Terms:
        """See `Objective.forward`."""
        posterior = self.vae.posterior(batch.x)
        likelihood = self.vae.likelihood(posterior.from_noise(noise))
        log_likelihood = likelihood.log_prob(batch.x).mean()
        kl = kl_divergence(posterior, self.vae.prior()).mean()
        kl_weight = ramp(at.epoch, self.kl_warmup_epochs)
        loss = kl_weight * kl - log_likelihood
        return Terms(loss, log_likelihood, kl, {"kl_weight": kl_weight})


class IWAE(Objective):
    """Minus the importance-weighted bound, with the plain reparameterised gradient.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equations 8 and 13.
    """

    def forward(self, batch: Batch, noise: Float[Tensor, "sample batch ..."], at: At) -> Terms:
        """See `Objective.forward`; there is no KL term to weigh here."""
        posterior, prior = self.vae.posterior(batch.x), self.vae.prior()
        z = posterior.from_noise(noise)
        log_likelihood = self.vae.likelihood(z).log_prob(batch.x)
        log_w = log_likelihood + prior.log_prob(z) - posterior.log_prob(z)
        kl = kl_divergence(posterior, prior).mean()
        return Terms(-iwae_bound(log_w).mean(), log_likelihood.mean(), kl)


def ramp(epoch: float, warmup_epochs: float) -> float:
    """The KL's weight: linear from 0 to 1 over the warm-up, then 1."""
    return min(1.0, epoch / warmup_epochs) if warmup_epochs > 0 else 1.0


OBJECTIVES: dict[str, type[Objective]] = {"elbo": ELBO, "iwae": IWAE}
