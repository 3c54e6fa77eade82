"""Log-likelihoods of the same pictures by different seeds, as one estimate of all draws.

    log sum w  = estimate + log K          log sum w^2 = 2 log sum w - log ESS

Both sums add up over the parts, so that the estimate, its standard error and the effective sample
size are those of one run over all draws. What needs each draw is not: a tail, halves, blocks.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from vae_client.errors import CallError
from vae_client.results import LogLikelihoodScores, make_answer

SAME = ("model", "version", "names", "label_used", "preprocessing")
REASON = (
    "Merged estimates have no diagnosis: it needs every draw. lower_bound_95_nats is that of the "
    "part with most draws."
)


def merge(parts: Sequence[LogLikelihoodScores]) -> LogLikelihoodScores:
    """One estimate by the draws of several answers, which have the same pictures and other seeds.

    Args:
        parts: Answers of `log_likelihood` by drawing, each with a seed of its own.

    Returns:
        `num_samples`, `estimate_nats`, `standard_error_nats`, `effective_sample_size`,
        `elbo_nats`, `gap_lower_bound_nats` and `bits_per_dim` are those of all draws.
        `lower_bound_95_nats` is that of the part with most draws, the first of these: a choice
        that does not depend on the draws, so that it holds. That of all draws would need the gain
        of each part's bets at every candidate for log p(x), and intervals the sums of each block
        and the largest weights: answers carry neither. So what needs every draw
        (`bound_interval_nats`, `log_px_interval_nats`, `pareto_k`, `percentile`) is NaN, and
        `weights_look_regular` False. `seed` is None.

    Raises:
        CallError: There are none, they are not of the same pictures, model and estimator, or two
            have the same seed, and so the same draws.
    """
    _check(parts)
    with np.errstate(all="ignore"):  # of weights that are all zero, and of a single draw
        return _merged(parts)


def _merged(parts: Sequence[LogLikelihoodScores]) -> LogLikelihoodScores:
    first = parts[0]
    sums, squares, counts = (
        np.stack(values) for values in zip(*map(_log_sums, parts), strict=True)
    )
    count, log_sum = counts.sum(0), _log_add(sums)
    estimate = log_sum - np.log(count)
    size = np.exp(2 * log_sum - _log_add(squares)).clip(1, count)
    arrays: dict[str, np.ndarray] = dict(first.arrays)
    del arrays["seed"]
    arrays |= {
        "num_samples": count,
        "estimate_nats": estimate,
        "standard_error_nats": np.sqrt(((count / size - 1) / (count - 1)).clip(0)),
        "effective_sample_size": size,
        "lower_bound_95_nats": _of_most_draws(parts, counts),
        "weights_look_regular": np.zeros(len(first), bool),
        "reason": np.full(len(first), REASON),
        "percentile_reason": np.full(len(first), REASON),
    }
    for name in ("bound_interval_nats", "log_px_interval_nats", "pareto_k", "percentile"):
        arrays[name] = np.full(first.arrays[name].shape, np.nan)
    for name in ("elbo_nats", "amortised_elbo_nats"):
        arrays[name] = _mean(parts, name, counts)
    arrays["gap_lower_bound_nats"] = estimate - arrays["elbo_nats"]
    arrays["amortisation_gap_nats"] = arrays["elbo_nats"] - arrays["amortised_elbo_nats"]
    arrays["bits_per_dim"] = first.arrays["bits_per_dim"] * estimate / first.estimate_nats
    return make_answer(LogLikelihoodScores, arrays, first.warnings, first.names)


def _check(parts: Sequence[LogLikelihoodScores]) -> None:
    if not parts:
        raise CallError("merge needs at least one answer of log_likelihood.")
    first = parts[0]
    for part in parts:
        for name in SAME:
            if getattr(part, name) != getattr(first, name):
                raise CallError(
                    f"These answers cannot be merged: {name} is {getattr(first, name)!r} in the "
                    f"first and {getattr(part, name)!r} in another. Score the same pictures with "
                    "the same model."
                )
        for name in ("estimator", "inference"):
            if part.arrays[name].tolist() != first.arrays[name].tolist():
                raise CallError(f"These answers cannot be merged: their {name} differs.")
    seeds = [part.seed for part in parts]
    if None in seeds:
        raise CallError(
            "An answer without a seed cannot be merged: it is exact, or merged already. Merge all "
            "parts at once."
        )
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise CallError(
            f"Two of the answers have the seed {twice}, and so the same draws. Give each part a "
            "seed of its own."
        )


def _log_sums(part: LogLikelihoodScores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log sum w, log sum w^2 and K of each picture."""
    log_sum = part.estimate_nats + np.log(part.num_samples)
    size: Any = part.effective_sample_size
    return log_sum, 2 * log_sum - np.log(size), part.num_samples


def _log_add(values: np.ndarray) -> np.ndarray:
    added: np.ndarray = reduce(np.logaddexp, values)
    return added


def _of_most_draws(parts: Sequence[LogLikelihoodScores], counts: np.ndarray) -> np.ndarray:
    bounds = np.stack([part.lower_bound_95_nats for part in parts])
    chosen: np.ndarray = np.take_along_axis(bounds, counts.argmax(0)[np.newaxis], axis=0)[0]
    return chosen


def _mean(parts: Sequence[LogLikelihoodScores], name: str, counts: np.ndarray) -> np.ndarray:
    """Mean of a column over all draws."""
    values = np.stack([part.arrays[name] for part in parts])
    mean: np.ndarray = (values * counts).sum(0) / counts.sum(0)
    return mean
