"""The mean score of a split with its standard error, also where few images have the large K.

    L_K = mean over all of L_k  +  mean over a random subset of (L_K - L_k),    k < K

By difference is unbiased for the mean of L_K over all images. Images differ much more in either
bound than in L_K - L_k, so that the error is nearly that of K draws for each of them. It squared is

    var(L_K) / N  +  var(L_K - L_k) (1 / n - 1 / N)

for n of N images: their chance among all images, and that of the subset among them.

Source: the difference estimator of Sarndal, Swensson and Wretman 1992, Model Assisted Survey
    Sampling, chapter 6.
"""

from dataclasses import dataclass
from math import sqrt

from jaxtyping import Float, Int64
from torch import Tensor

from models.bundle.schema import Difference
from models.scores.kinds import ScoreKind


@dataclass(frozen=True)
class Scores:
    """One estimate of each image."""

    estimator: ScoreKind
    num_samples: int
    values_nats: Float[Tensor, " image"]
    errors_nats: Float[Tensor, " image"]
    """Monte Carlo standard errors."""
    places: Int64[Tensor, " image"]
    """Of the images among those scored."""


@dataclass(frozen=True)
class Mean:
    """A mean over images."""

    n: int
    nats: Tensor
    error_nats: Tensor
    """Standard error over images, of their subset too."""
    draws_error_nats: Tensor
    """The part that comes from the draws; NaN for a single draw."""


def mean_of(scores: Scores) -> Mean:
    """The mean of scores, and its standard error sd / sqrt(n)."""
    return mean_of_values(scores.values_nats, scores.errors_nats)


def mean_of_values(values: Float[Tensor, " image"], errors: Float[Tensor, " image"]) -> Mean:
    """The same of one value of each image, and its Monte Carlo standard error."""
    count = len(values)
    draws = errors.square().sum().sqrt() / count
    return Mean(count, values.mean(), values.std() / sqrt(count), draws)


def mean_by_difference(every: Scores, few: Scores) -> tuple[Mean, Difference] | None:
    """The mean bound of large K of all images; None where `few` are all, or have no larger K.

    Args:
        every: Bounds of small K of all images, in their order.
        few: Bounds of large K of a random subset.
    """
    count, some = len(every.places), len(few.places)
    if some == count or few.num_samples <= every.num_samples:
        return None
    gains = few.values_nats - every.values_nats[few.places]
    variance = few.values_nats.var() / count + gains.var() * (1 / some - 1 / count)
    # The small K of the subset's images counts 1/N in the first mean, and -1/n in the second.
    weights = every.errors_nats.new_full((count,), 1 / count)
    weights[few.places] -= 1 / some
    draws = (weights * every.errors_nats).square().sum()
    draws = draws + (few.errors_nats / some).square().sum()
    mean = Mean(count, every.values_nats.mean() + gains.mean(), variance.sqrt(), draws.sqrt())
    return mean, Difference(num_samples=every.num_samples, n=some)
