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
from models.estimators.passes import log_weights_steps, posterior_steps
from models.estimators.steps import Pass, Steps, check_num_samples
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
    return average_labels(vae, x, (yield from guess_steps(vae, x, chunk_rows=chunk_rows)))


def average_labels(vae: VAE, x: Images, log_q: LogProbabilities) -> Rows:
    """Each of the data with every label, averaged over the label's probabilities."""
    terms = log_q.exp() * (log_q - vae.log_label_prior.to(log_q))
    kl = torch.where(log_q.isinf(), torch.zeros_like(terms), terms).sum(-1)
    repeated, labels = vae.every_label(x)
    return Rows(repeated, labels, log_q, kl)


@torch.no_grad()
def guess_steps(vae: VAE, x: Images, *, chunk_rows: int) -> Steps[LogProbabilities]:
    """log q(y|x), the same whenever the image is the same.

    Raises:
        UnsupportedOperation: The model has neither labels nor mixture components.
    """
    if knows_labels(vae):
        return (yield from log_q_steps(vae, x))
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
    if knows_labels(vae):
        return (yield from log_q_steps(vae, x))
    noise = BatchNoise(seed, len(x), "label", first_item=first_item)
    draws = noise.draw(num_samples, vae.latent_shape, dtype=x.dtype).to(x.device)
    return (yield from bayes_steps(vae, x, draws, chunk_rows=chunk_rows))


def knows_labels(vae: VAE) -> bool:
    """Whether q(y|x) needs no sampling: by a classifier, or over a mixture's components.

    Raises:
        UnsupportedOperation: The model has neither labels nor mixture components.
    """
    if vae.config.classifier is not None or vae.config.posterior.kind == "enumerated":
        return True
    if vae.num_labels:
        return False
    raise UnsupportedOperation(
        "This model cannot classify: it was trained without labels and is no mixture. Choose a "
        "model with labels."
    )


def log_q_steps(vae: VAE, x: Images) -> Steps[LogProbabilities]:
    """log q(y|x) of a model that knows it without sampling."""
    found: LogProbabilities
    (found,) = yield Pass(_log_q, (vae,), (x,))
    return found


def _log_q(vae: VAE, x: Tensor) -> tuple[Tensor, ...]:
    if vae.config.classifier is not None:
        return (vae.label_logits(x).log_softmax(-1),)
    return (cast(OneHot, vae.posterior(x)).log_probs,)


@torch.no_grad()
def bayes_steps(
    vae: VAE, x: Images, noise: Float[Tensor, "sample batch ..."], *, chunk_rows: int
) -> Steps[LogProbabilities]:
    """log p(y|x) by Bayes' rule over importance-sampled p(x|y), the same noise for each label."""
    repeated, labels = vae.every_label(x)
    q = yield from posterior_steps(vae, repeated, labels)
    log_w: list[Tensor] = []
    for draws in noise.split(max(1, chunk_rows // max(1, len(repeated)))):
        spread = draws.repeat(1, vae.num_labels, *[1] * (draws.ndim - 2))
        found = yield from log_weights_steps(vae, repeated, spread, labels, posterior=q)
        log_w.append(found.double().cpu())
    log_sum = torch.cat(log_w).T.contiguous().logsumexp(-1)  # K times p(x|y)
    by_label: Tensor = log_sum.unflatten(0, (vae.num_labels, len(x))).T
    prior = vae.log_label_prior.double().cpu()
    return (by_label + prior).contiguous().log_softmax(-1).to(x)
