"""Coverage: how often the lower bound and the intervals of log p(x) hold, case by case.

Weights are drawn from laws whose log p(x) is known, and taken into the sums as the service does. An
interval is counted for the label that it carries: with weights that look regular, and without. Not
measured: networks, and the speed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from rich.table import Table
from torch import Tensor
from torch.distributions import Normal

from benchmarks.timing import table
from models.estimators.importance import summarise_weights
from models.estimators.importance_weights import NUM_BLOCKS, RunningWeights
from models.scores import EvidenceScore

Draw = Callable[[torch.Generator, int, int], Tensor]
"""Log-weights minus log p(x), (sample, trial), float64."""
_ROUNDING = 1e-6
_BATCH = 250


@dataclass(frozen=True)
class Coverage:
    """What some trials found, of the intervals given the label that they carry."""

    trials: int
    violated: int
    """Trials whose lower bound is above log p(x)."""
    slack_nats: float
    """Median distance of the lower bound to log p(x)."""
    regular: int
    """Trials whose weights look regular."""
    log_px: int
    """Those of them whose interval of log p(x) holds it."""
    bound_regular: int
    """Those of them whose interval of the expected bound holds it."""
    bound_other: int
    """As many of the other trials."""


def normal(
    scale: float,
    latents: int,
    shift: float,
    generator: torch.Generator,
    samples: int,
    trials: int,
) -> Tensor:
    """q is normal: `scale` times as wide as the exact posterior, `shift` exact scales away."""
    moments = torch.tensor([[0.0, 1.0], [shift, scale]], dtype=torch.float64)
    exact, q = (Normal(*of) for of in moments)
    total = torch.zeros(samples, trials, dtype=torch.float64)
    for _ in range(latents):
        noise = torch.randn(samples, trials, generator=generator, dtype=torch.float64)
        z = shift + scale * noise
        total += exact.log_prob(z) - q.log_prob(z)
    return total


def lognormal(sd: float, generator: torch.Generator, samples: int, trials: int) -> Tensor:
    """log w is normal with standard deviation `sd`."""
    return sd * torch.randn(samples, trials, generator=generator, dtype=torch.float64) - sd**2 / 2


def missed_mode(generator: torch.Generator, samples: int, trials: int) -> Tensor:
    """z ~ N(0, 1), x ~ N(|z|, 0.3^2) at x = 1.5, and q is on one of the two modes of p(z|x)."""
    x, noise, one = torch.tensor([1.5, 0.3, 1.0], dtype=torch.float64)
    variance = 1 + noise**2
    loc, scale = x / variance, noise / variance.sqrt()
    q, prior = Normal(loc, 1.1 * scale), Normal(0 * one, one)
    draws = torch.randn(samples, trials, generator=generator, dtype=torch.float64)
    z = q.mean + q.stddev * draws
    log_w = Normal(z.abs(), noise).log_prob(x) + prior.log_prob(z)
    log_px = Normal(0 * one, variance.sqrt()).log_prob(x)
    above = prior.cdf(loc / scale)
    relative: Tensor = log_w - q.log_prob(z) - (log_px + math.log(2) + above.log())
    return relative


CASES: dict[str, Draw] = {
    "easy oracle": partial(normal, 1.0, 2, 0.0),
    "medium oracle": partial(normal, 0.9, 8, 0.1),
    "hard oracle": partial(normal, 0.8, 50, 0.0),
    "one of two modes": missed_mode,
    "q 0.45 as wide, 1 latent": partial(normal, 0.45, 1, 0.0),
    "q 0.55 as wide, 1 latent": partial(normal, 0.55, 1, 0.0),
    "q 0.6 as wide, 2 latents": partial(normal, 0.6, 2, 0.0),
    "q 0.7 as wide, 4 latents": partial(normal, 0.7, 4, 0.0),
    "q 0.8 as wide, 8 latents": partial(normal, 0.8, 8, 0.0),
    "q 0.9 as wide, 8 latents": partial(normal, 0.9, 8, 0.0),
    **{f"lognormal, sd {sd:g}": partial(lognormal, sd) for sd in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)},
}


def measure(draw: Draw, *, num_samples: int, trials: int, seed: int = 0) -> Coverage:
    """Score as many data as there are trials, each by weights of its own."""
    generator = torch.Generator().manual_seed(seed)
    scores: list[EvidenceScore[Tensor]] = []
    blocks: list[Tensor] = []
    for start in range(0, trials, _BATCH):
        count = min(_BATCH, trials - start)
        weights = RunningWeights(count, num_samples)
        weights.add(draw(generator, num_samples, count))
        scores.append(summarise_weights(weights, estimator="iwae", has_elbo=True, seed=seed))
        blocks.append(weights.bound_estimates())
    lower = torch.cat([score.lower_bound_95_nats for score in scores])
    regular = torch.tensor([one for score in scores for one in score.weights_look_regular])
    # The trials' own mean: its error is a thirtieth of a trial's, of a thousand trials.
    expected = torch.cat(blocks, 1).mean()
    log_px = _hold(torch.cat([score.log_px_interval_nats for score in scores]), 0.0)
    bound = _hold(torch.cat([score.bound_interval_nats for score in scores]), float(expected))
    return Coverage(
        trials=trials,
        violated=int((lower > _ROUNDING).sum()),
        slack_nats=float(-lower.median()),
        regular=int(regular.sum()),
        log_px=int(log_px.sum()),
        bound_regular=int((bound & regular).sum()),
        bound_other=int((bound & ~regular).sum()),
    )


def _hold(intervals: Tensor, value: float) -> Tensor:
    low, high = intervals.unbind(-1)
    return (low <= value + _ROUNDING) & (value - _ROUNDING <= high)


def run(*, trials: int, counts: tuple[int, ...] = (1000, 5000)) -> Iterator[Table]:
    """Measure every case at each K."""
    for num_samples in counts:
        made = table(
            f"Coverage of log p(x) by K = {num_samples:,} weights, {trials:,} trials",
            "weights",
            "lower bound violated",
            "below log p(x), nats",
            "look regular",
            "log p(x) covered",
            f"E[L_{num_samples // NUM_BLOCKS}] covered: regular",
            "not regular",
            caption="Shares of the trials with that label; `-` for fewer than 20.",
        )
        for name, draw in CASES.items():
            found = measure(draw, num_samples=num_samples, trials=trials)
            other = found.trials - found.regular
            made.add_row(
                name,
                share(found.violated, trials),
                f"{found.slack_nats:.2f}",
                share(found.regular, trials),
                share(found.log_px, found.regular),
                share(found.bound_regular, found.regular),
                share(found.bound_other, other),
            )
        yield made


def share(count: int, total: int) -> str:
    """A share in percent; none of few."""
    return f"{100 * count / total:.1f} %" if total >= 20 else "-"
