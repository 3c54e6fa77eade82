"""Means, paired differences and proportions over images, with their errors."""

from math import nan, sqrt

from torch import Tensor

from training.evaluation.proportion import NORMAL_975, wilson_interval


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean over images, and its standard error sd / sqrt(n); NaN for a single one."""
    exact = values.double()
    if len(exact) < 2:
        return float(exact.mean()), nan
    return float(exact.mean()), float(exact.std() / sqrt(len(exact)))


def paired(values: Tensor, others: Tensor) -> tuple[float, float, float]:
    """The mean of values - others over the same images, and its normal interval of 95 %."""
    mean, error = mean_and_error(values - others)
    return mean, mean - NORMAL_975 * error, mean + NORMAL_975 * error


def proportion(right: Tensor) -> tuple[float, float, float]:
    """A share, and its Wilson interval of 95 %."""
    share = float(right.double().mean())
    return share, *wilson_interval(share, len(right))
