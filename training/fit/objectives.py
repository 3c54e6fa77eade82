"""The objectives of training, one class each; evaluation uses `models.estimators` alone.

    elbo            E_q[log p(x|z)] - b KL(q(z|x) || p(z)), the KL perhaps with free bits
    capacity        E_q[log p(x|z)] - g |KL - C(t)|
    iwae            log (1/K) sum_k p(x, z_k) / q(z_k|x), with one of three gradients
    score_function  the ELBO, by the gradient that needs no path through z
    m2              the bounds of labelled and unlabelled data, and a classification term
    autoencoder     -|x - picture(z(x))|^2

Nats per datum, batch means. The loop minimises -objective.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.distributions.from_noise import FromNoise
from models.distributions.grouped import GroupedNormal
from models.distributions.kl import (
    has_analytic_kl,
    kl_at_draws,
    kl_divergence,
    kl_terms,
    log_ratios,
)
from models.distributions.normals import DiagonalNormal
from models.estimators.bounds import iwae_bound, squared_error
from models.vae.model import VAE
from training.fit.ranks import ALONE, Ranks
from training.recipes.objective import (
    AutoencoderConfig,
    CapacityConfig,
    ELBOConfig,
    IWAEConfig,
    M2Config,
    ObjectiveConfig,
    ScoreFunctionConfig,
)

C = TypeVar("C", bound=Any)
Noise = Float[Tensor, "sample batch ..."]
UNLABELLED = -1


class Batch(NamedTuple):
    """The images of a step, and their labels."""

    x: Float[Tensor, "batch channel height width"]
    """Observations in the likelihood's support."""
    y: Int64[Tensor, " batch"] | None = None
    """Labels, `UNLABELLED` where unknown; None for a model without labels."""
    labelled: "Batch | None" = None
    """More images, all with labels, for the classifier; None unless labels are few."""
    is_labelled: bool = False
    """Whether every label of the data is known, so that no step asks the device which ones are."""

    def to(self, dtype: torch.dtype) -> "Batch":
        """The same batch with observations of another precision."""
        if self.x.dtype == dtype:
            return self
        labelled = None if self.labelled is None else self.labelled.to(dtype)
        return self._replace(x=self.x.to(dtype), labelled=labelled)

    def rows(self, rows: slice) -> "Batch":
        """Some rows of the batch."""
        labelled = None if self.labelled is None else self.labelled.rows(rows)
        y = None if self.y is None else self.y[rows]
        return self._replace(x=self.x[rows], y=y, labelled=labelled)


class Position(NamedTuple):
    """The position of a step in its run, which every annealing is a function of."""

    step: int
    """Steps done."""
    epoch: float
    """Epochs done, with the fraction of this one."""
    progress: float
    """Share of the run that is done, from 0 to below 1."""
    kl_weight: float = 1.0
    """Weight of the KL by its warm-up (`order.Annealing`)."""


class Terms(NamedTuple):
    """The loss of a step, and the numbers that the log shows; batch means."""

    loss: Tensor
    scalars: Mapping[str, Tensor | float]
    """Numbers by their names in the log; nats unless the name says otherwise."""


class Objective(nn.Module, ABC, Generic[C]):
    """The loss of a step, a function of a batch, its noise and its position in the run."""

    def __init__(self, vae: VAE, config: C, ranks: Ranks = ALONE) -> None:
        """Make the objective of a model.

        Args:
            vae: The model.
            config: The recipe's entry.
            ranks: The processes whose rows make up a batch. Each has the loss of its own rows, and
                what is no sum over rows is of the whole batch.
        """
        super().__init__()
        self.vae, self.config, self.ranks = vae, config, ranks

    def mean(self, values: Float[Tensor, " row"]) -> Tensor:
        """The mean over the rows of all processes, which may have unequally many.

        The mean over the processes of what this returns.
        """
        if self.ranks.count == 1:
            return values.mean()
        return values.sum() / self.ranks.mean(values.new_tensor(float(len(values))))

    @abstractmethod
    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        """The objective of a batch.

        Args:
            batch: Observations, with labels where the model has them.
            noise: Noise for the posterior's `from_noise`, (sample, batch, ...).
            at: The step's position in the run.
        """


def elbo_terms(loss: Tensor, log_likelihood: Tensor, kl: Tensor, **more: Tensor | float) -> Terms:
    """A loss, with the ELBO, rate and distortion of the same draws for the log."""
    scalars = {
        "elbo_nats": log_likelihood - kl,
        "rate_nats": kl,
        "distortion_nats": -log_likelihood,
    }
    return Terms(loss, {**scalars, **more})


def kl_groups(
    q: FromNoise, p: FromNoise, z: Tensor, *, sampled: bool, path: bool = False
) -> Float[Tensor, " group"]:
    """Batch means of the KL by part, nats; their sum is the KL.

    Parts are latent dimensions where the KL is analytic and q and p factorise, the groups of a
    hierarchy, or the whole latent.

    Args:
        q: The posterior.
        p: The prior.
        z: Draws from q.
        sampled: Estimate the KL by log-ratios also where there are closed forms.
        path: Take the gradient of log-ratios through z alone (`kl.log_ratios`).
    """
    if sampled:
        return log_ratios(q, p, z, path=path).mean((0, 1))
    if not has_analytic_kl(q, p):
        return kl_at_draws(q, p, z, path=path).mean((0, 1))
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal):
        return kl_terms(q, p).flatten(1).mean(0)
    return kl_divergence(q, p).mean().unsqueeze(0)


class ELBO(Objective[ELBOConfig]):
    """The evidence lower bound, its KL weighted by beta and held above the free bits.

    Source: Kingma and Welling 2014, arXiv:1312.6114, equation 10; beta: Higgins et al. 2017;
        free bits: Kingma et al. 2016, arXiv:1606.04934, equation 15.
    """

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        kl_weight = self.config.beta * at.kl_weight
        q, prior = self.vae.posterior(batch.x, batch.y), self.vae.prior(batch.y)
        z = q.from_noise(noise)
        log_likelihood = self.vae.likelihood(z, batch.y).log_prob(batch.x).mean()
        groups = kl_groups(
            q, prior, z, sampled=self.config.kl == "sampled", path=self._takes_path(q)
        )
        free = self.config.free_bits_nats
        penalised = self.ranks.mean(groups).clamp_min(free).sum() if free > 0 else groups.sum()
        loss = kl_weight * penalised - log_likelihood
        return elbo_terms(loss, log_likelihood, groups.sum(), kl_weight=kl_weight)

    def _takes_path(self, q: FromNoise) -> bool:
        if self.config.gradient == "auto":
            return isinstance(q, GroupedNormal)
        return self.config.gradient == "path"


class Capacity(Objective[CapacityConfig]):
    """The KL held at a capacity C that rises through the run.

    Source: Burgess et al. 2018, arXiv:1804.03599, equation 8.
    """

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        q, prior = self.vae.posterior(batch.x, batch.y), self.vae.prior(batch.y)
        z = q.from_noise(noise)
        log_likelihood = self.vae.likelihood(z, batch.y).log_prob(batch.x).mean()
        kl = kl_groups(q, prior, z, sampled=False).sum()
        capacity = self.config.capacity_nats * min(1.0, at.progress / self.config.until)
        loss = self.config.gamma * (self.ranks.mean(kl) - capacity).abs() - log_likelihood
        return elbo_terms(loss, log_likelihood, kl, capacity_nats=capacity)


class IWAE(Objective[IWAEConfig]):
    """The importance-weighted bound of K draws; a warm-up weighs log p(z) - log q(z|x) in them.

    Gradients: `plain`, by reparameterisation; `stl` leaves out log q's own derivative, whose mean
    is zero at K = 1 (for larger K the encoder's gradient is biased); `dreg` is unbiased for every
    K, and the encoder's signal-to-noise ratio does not fall with K.

    Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equations 8 and 13; Roeder, Wu
        and Duvenaud 2017, arXiv:1703.09194; Tucker et al. 2018, arXiv:1810.04152, section 3.
    """

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        kl_weight, gradient = at.kl_weight, self.config.gradient
        q, prior = self.vae.posterior(batch.x, batch.y), self.vae.prior(batch.y)
        z = q.from_noise(noise)
        scored = q if gradient == "plain" else q.detached()
        log_likelihood = self.vae.likelihood(z, batch.y).log_prob(batch.x)
        log_w = log_likelihood + kl_weight * (prior.log_prob(z) - scored.log_prob(z))
        bound = iwae_bound(log_w)
        if gradient == "dreg" and z.requires_grad:
            # sum_k share_k^2 d log w_k / dz_k dz_k / dphi: the bound's gradient has one share; the
            # hook multiplies the gradient that goes on to q, not the decoder's, by the other.
            share = log_w.detach().softmax(0)
            z.register_hook(lambda g: g * share.reshape(*share.shape, *[1] * (g.ndim - 2)))
        with torch.no_grad():  # for the log alone
            kl = kl_groups(q, prior, z, sampled=False).sum()
        return elbo_terms(
            -bound.mean(),
            log_likelihood.mean(),
            kl,
            iwae_bound_nats=bound.mean(),
            kl_weight=kl_weight,
        )


class ScoreFunction(Objective[ScoreFunctionConfig]):
    """The ELBO by the score-function gradient (REINFORCE), which needs no path through z.

    The baseline of a draw is the mean log-weight of the others.

    Source: Ranganath, Gerrish and Blei 2014, arXiv:1401.0118, equation 5; baseline: Kool, van Hoof
        and Welling 2019, Buy 4 REINFORCE samples.
    """

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        q, prior = self.vae.posterior(batch.x, batch.y), self.vae.prior(batch.y)
        z = q.from_noise(noise).detach()
        log_likelihood = self.vae.likelihood(z, batch.y).log_prob(batch.x)
        log_q, log_prior = q.log_prob(z), prior.log_prob(z)
        log_w = (log_likelihood + log_prior - log_q).detach()
        baseline = torch.zeros_like(log_w)
        if self.config.baseline == "leave_one_out":
            baseline = (log_w.sum(0) - log_w) / (len(log_w) - 1)
        surrogate = log_likelihood + log_prior + (log_w - baseline) * log_q
        loss = -(surrogate - surrogate.detach() + log_w).mean()
        return elbo_terms(loss, log_likelihood.mean(), (log_q - log_prior).mean())


class _Parts(NamedTuple):
    """The bounds of some rows in parts, nats, (row,); means over q(y|x) where y is unknown."""

    log_likelihood: Tensor
    """E_q[log p(x|z,y)]."""
    kl: Tensor
    """KL(q(z|x,y) || p(z|y))."""
    label_kl: Tensor
    """KL(q(y|x) || p(y)), or -log p(y) of a known label."""
    label_entropy: Tensor
    """Entropy of q(y|x); no row where the label is known."""


class M2(Objective[M2Config]):
    """Semi-supervised bounds of log p(x, y) and of log p(x), with a classification term.

    loss = -mean of L(x, y) where y is known and of U(x) elsewhere + alpha mean -log q(y|x)
    L(x, y) = ELBO given y + log p(y),  U(x) = sum_y q(y|x) (L(x, y) - log q(y|x))

    Where labels are few, `balanced` takes L of as many labelled images as the batch has others.
    The KL's warm-up weighs that of z alone: without its entropy, q(y|x) would settle on a label
    before the decoder tells labels apart.

    Source: Kingma et al. 2014, arXiv:1406.5298, equations 6-9, per datum: its alpha is N times
        ours.
    """

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        assert batch.y is not None  # the config asks for labels
        if batch.is_labelled:
            taught_x, taught_y = batch.x, batch.y
            parts = [self._labelled(taught_x, taught_y, noise)]
        else:
            taught_x, taught_y, parts = self._parts(batch, batch.y, noise)
        joined = _Parts(*(torch.cat(part) for part in zip(*parts, strict=True)))
        log_likelihood, kl, label_kl = (self.mean(part) for part in joined[:3])
        logits = self.vae.label_logits(taught_x)
        cross_entropy = self._mean_of_any(F.cross_entropy(logits, taught_y, reduction="none"))
        more: dict[str, Tensor | float] = {"kl_weight": at.kl_weight}
        more["classification_nats"] = cross_entropy
        if not batch.is_labelled:
            more["label_entropy_nats"] = self._mean_of_any(joined.label_entropy)
        loss = at.kl_weight * kl + label_kl - log_likelihood + self.config.alpha * cross_entropy
        return elbo_terms(loss, log_likelihood, kl + label_kl, **more)

    def _mean_of_any(self, values: Float[Tensor, " row"]) -> Tensor:
        """The mean over the rows of all processes; 0 where there are none."""
        return self.mean(values) if self.ranks.largest(len(values))[0] else values.new_zeros(())

    def _parts(self, batch: Batch, y: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, list[_Parts]]:
        """What the classifier learns from, and the bounds of the rows with and without a label."""
        x, known = batch.x, y != UNLABELLED
        taught_x, taught_y = x[known], y[known]
        if batch.labelled is not None:
            assert batch.labelled.y is not None
            taught_x, taught_y = batch.labelled.x, batch.labelled.y
        parts = []
        if batch.labelled is not None and self.config.balanced:
            parts.append(self._labelled(taught_x, taught_y, noise[:, : len(taught_x)]))
        elif bool(known.any()):
            parts.append(self._labelled(x[known], y[known], noise[:, known]))
        if not bool(known.all()):
            parts.append(self._unlabelled(x[~known], noise[:, ~known]))
        return taught_x, taught_y, parts

    def _labelled(self, x: Tensor, y: Tensor, noise: Tensor) -> _Parts:
        """L(x, y) of images with a label."""
        log_likelihood, kl = self._bound(x, y, noise, self.vae.posterior(x, y))
        return _Parts(log_likelihood, kl, -self.vae.log_label_prior[y], x.new_zeros(0))

    def _unlabelled(self, x: Tensor, noise: Tensor) -> _Parts:
        """U(x) of images without a label; every label has the same noise."""
        rows, labels = self.vae.every_label(x)
        spread = noise.repeat(1, self.vae.num_labels, *[1] * (noise.ndim - 2))
        log_q = self.vae.label_logits(x).log_softmax(-1).T
        log_likelihood, kl = (
            part.unflatten(0, log_q.shape)
            for part in self._bound(rows, labels, spread, self.vae.posterior_of_every_label(x))
        )
        label_kl = log_q - self.vae.log_label_prior.unsqueeze(-1)
        terms = (log_likelihood, kl, label_kl, -log_q)
        weights = log_q.exp()
        return _Parts(*((weights * term).sum(0) for term in terms))

    def _bound(self, x: Tensor, y: Tensor, noise: Tensor, q: FromNoise) -> tuple[Tensor, Tensor]:
        """E_q[log p(x|z,y)] and the KL of each row, (row,)."""
        z, prior = q.from_noise(noise), self.vae.prior(y)
        log_likelihood = self.vae.likelihood(z, y).log_prob(x).mean(0)
        if has_analytic_kl(q, prior):
            return log_likelihood, kl_divergence(q, prior)
        return log_likelihood, kl_at_draws(q, prior, z).sum(-1).mean(0)


def final_bound(
    config: ObjectiveConfig, log_likelihood: Tensor, kl: Tensor
) -> Float[Tensor, " batch"]:
    """The bound that an objective maximises once its annealing is over; nats, (batch,).

    E_q[log p(x|z)] - beta KL, or - gamma |KL - C|. The best weights are chosen by it: by the ELBO,
    weights from the time when beta or C was near the ELBO's own would win.
    """
    if isinstance(config, CapacityConfig):
        excess = kl - config.capacity_nats
        return log_likelihood - config.gamma * excess.mean().sign() * excess
    return log_likelihood - getattr(config, "beta", 1.0) * kl


class Autoencoder(Objective[AutoencoderConfig]):
    """The squared error of a picture through the latent: no distribution, so no likelihood."""

    def forward(self, batch: Batch, noise: Noise, at: Position) -> Terms:
        error = squared_error(self.vae, batch.x).mean()
        return Terms(error, {"squared_error": error})


OBJECTIVES: dict[str, type[Objective[Any]]] = {
    "elbo": ELBO,
    "capacity": Capacity,
    "iwae": IWAE,
    "score_function": ScoreFunction,
    "m2": M2,
    "autoencoder": Autoencoder,
}
