"""Label probabilities q(y|x) of images without a label, and means over them.

    with a classifier     q(y|x) is its softmax
    a categorical latent  p(z|x), exact
    otherwise             p(y|x) prop. to p(y) p(x|y), each p(x|y) by importance sampling

A guess takes the same noise for every image, so that it depends on the image alone.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.one_hot import OneHot
from models.errors import UnsupportedOperation
from models.estimators.steps import Steps, check_num_samples
from models.noise import NoiseStream
from models.vae.model import VAE

GUESS_NUM_SAMPLES = 16
"""Number of draws for each label where a label is guessed without a classifier."""

Images = Float[Tensor, "batch channel height width"]
LogProbabilities = Float[Tensor, "batch label"]


@dataclass(frozen=True)
class Rows:
    """Rows that the networks take of a batch: its data, or each of them once with every label."""

    x: Float[Tensor, "row channel height width"]
    y: Int64[Tensor, " row"] | None
    log_q: LogProbabilities | None = None
    """log q(y|x) where the label is averaged over."""
    label_kl_nats: Float[Tensor, " batch"] | None = None
    """KL(q(y|x) || p(y))."""

    def repeat(self, noise: Tensor) -> Tensor:
        """Repeat the noise for every label, (sample, row, ...)."""
        if self.log_q is None:
            return noise
        return noise.repeat(1, self.log_q.shape[1], *[1] * (noise.ndim - 2))

    def expect(self, terms: Tensor, *, axis: int) -> Tensor:
        """Average terms whose rows lie along an axis over q(y|x)."""
        if self.log_q is None:
            return terms
        batch, labels = self.log_q.shape
        by_label: Tensor = terms.unflatten(axis, (labels, batch)).movedim(axis, -1)
        trailing = [1] * (terms.ndim - axis - 1)
        weights = self.log_q.to(terms.dtype).exp().reshape(batch, *trailing, labels)
        means: Tensor = (by_label * weights).contiguous().sum(-1)
        return means


def rows_steps(vae: VAE, x: Images, y: Tensor | None, *, chunk_rows: int) -> Steps[Rows]:
    """The data, or each of them with every label where the model has labels and y is None.

    Source: Kingma et al. 2014, arXiv:1406.5298, equation 7.
    """
    if not vae.num_labels or y is not None:
        return Rows(x, y)
    log_q = yield from guess_steps(vae, x, chunk_rows=chunk_rows)
    terms = log_q.exp() * (log_q - vae.log_label_prior)
    kl = torch.where(log_q.isinf(), torch.zeros_like(terms), terms).sum(-1)
    repeated, labels = vae.every_label(x)
    return Rows(repeated, labels, log_q, kl)


@torch.no_grad()
def guess_steps(vae: VAE, x: Images, *, chunk_rows: int) -> Steps[LogProbabilities]:
    """log q(y|x), the same whenever the image is the same; yields between chunks of work.

    Raises:
        UnsupportedOperation: The model has neither labels nor mixture components.
    """
    known = log_q_without_draws(vae, x)
    if known is not None:
        return known
    stream = NoiseStream(0, 0, "label")
    draws = torch.from_numpy(stream.normal(GUESS_NUM_SAMPLES, 1, *vae.latent_shape)).to(x)
    noise = draws.expand(-1, len(x), *vae.latent_shape)
    return (yield from bayes_steps(vae, x, noise, chunk_rows=chunk_rows))


@torch.no_grad()
def classify_steps(
    vae: VAE, x: Images, *, num_samples: int, seed: int, first_item: int = 0, chunk_rows: int
) -> Steps[LogProbabilities]:
    """log q(y|x), by `num_samples` draws from the seed for each label where there is no classifier.

    Raises:
        InputError: Fewer than one sample.
        UnsupportedOperation: The model has neither labels nor mixture components.
    """
    check_num_samples(num_samples)
    vae.check_support(x)
    known = log_q_without_draws(vae, x)
    if known is not None:
        return known
    noise = BatchNoise(seed, len(x), "label", first_item=first_item)
    draws = noise.draw(num_samples, vae.latent_shape, dtype=x.dtype).to(x.device)
    return (yield from bayes_steps(vae, x, draws, chunk_rows=chunk_rows))


def log_q_without_draws(vae: VAE, x: Images) -> LogProbabilities | None:
    """log q(y|x) where no sampling is needed, otherwise None.

    Raises:
        UnsupportedOperation: The model has neither labels nor mixture components.
    """
    if vae.config.classifier is not None:
        return vae.label_logits(x).log_softmax(-1)
    if vae.num_labels:
        return None
    if vae.config.posterior.kind == "enumerated":
        return cast(OneHot, vae.posterior(x)).log_probs
    raise UnsupportedOperation(
        "This model cannot classify: it was trained without labels and is no mixture. Choose a "
        "model with labels."
    )


@torch.no_grad()
def bayes_steps(
    vae: VAE, x: Images, noise: Float[Tensor, "sample batch ..."], *, chunk_rows: int
) -> Steps[LogProbabilities]:
    """log p(y|x) by Bayes' rule over importance-sampled p(x|y), the same noise for each label."""
    repeated, labels = vae.every_label(x)
    q = vae.posterior(repeated, labels)
    log_w: list[Tensor] = []
    for draws in noise.split(max(1, chunk_rows // max(1, len(repeated)))):
        spread = draws.repeat(1, vae.num_labels, *[1] * (draws.ndim - 2))
        log_w.append(vae.log_weights(repeated, spread, labels, posterior=q).double().cpu())
        yield
    log_sum = torch.cat(log_w).T.contiguous().logsumexp(-1)  # K times p(x|y)
    by_label: Tensor = log_sum.unflatten(0, (vae.num_labels, len(x))).T
    prior = vae.log_label_prior.double().cpu()
    return (by_label + prior).contiguous().log_softmax(-1).to(x)
