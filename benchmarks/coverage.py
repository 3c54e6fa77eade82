"""Coverage: how often the lower bound and the intervals of log p(x) hold, case by case.

Weights are drawn from laws whose log p(x) is known, and taken into the sums as the service does. An
interval is counted for the label that it carries: with weights that look regular, and without. The
diagnosis and the tails of the intervals were chosen on `CHOSEN_ON`, by other draws; `FRESH` cases
had no part in that. Not measured: networks, and the speed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from rich.table import Table
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, Normal, StudentT

from benchmarks.timing import table
from models.estimators.importance import summarise_weights
from models.estimators.importance_weights import RunningWeights
from models.scores.evidence_score import EvidenceScore

Draw = Callable[[torch.Generator, int, int], Tensor]
"""Log-weights minus log p(x), (sample, trial), float64."""
COUNTS = (200, 1000, 5000)
FEWEST = 100
"""Trials with a label below which no share is told: its error would be more than two percent."""
_SEED = 11
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


def ratio(
    exact: Distribution, q: Distribution, generator: torch.Generator, samples: int, trials: int
) -> Tensor:
    """One latent: log p(z|x) - log q(z) of draws from q, a normal or a mixture of normals."""
    noise = torch.randn(samples, trials, generator=generator, dtype=torch.float64)
    if isinstance(q, MixtureSameFamily):
        pick = torch.rand(samples, trials, generator=generator, dtype=torch.float64)
        part = (pick.unsqueeze(-1) >= q.mixture_distribution.probs.cumsum(-1)[:-1]).sum(-1)
        loc, scale = q.component_distribution.mean[part], q.component_distribution.stddev[part]
    else:
        loc, scale = q.mean, q.stddev
    z = loc + scale * noise
    relative: Tensor = exact.log_prob(z) - q.log_prob(z)
    return relative


def _normals(*shares: float, scale: float = 1.0) -> Distribution:
    """Normals 10 apart, with these shares."""
    probs = torch.tensor(shares, dtype=torch.float64)
    locs = 10.0 * torch.arange(len(shares), dtype=torch.float64)
    return MixtureSameFamily(Categorical(probs), Normal(locs, torch.full_like(locs, scale)))


def _one(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


CHOSEN_ON: dict[str, Draw] = {
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
"""Cases on which the diagnosis and the tails of the intervals were chosen."""
FRESH: dict[str, Draw] = {
    "q 0.5 as wide, 1 latent": partial(normal, 0.5, 1, 0.0),
    "q 0.65 as wide, 3 latents": partial(normal, 0.65, 3, 0.0),
    "q 0.75 as wide, 6 latents": partial(normal, 0.75, 6, 0.0),
    "q 0.85 as wide, 16 latents": partial(normal, 0.85, 16, 0.0),
    "q 0.95 as wide, 40 latents": partial(normal, 0.95, 40, 0.05),
    "q 0.75 as wide, 3 latents, shifted": partial(normal, 0.75, 3, 0.5),
    "q 1.3 as wide, 10 latents": partial(normal, 1.3, 10, 0.0),
    "exact posterior Student's t, 5 degrees": partial(
        ratio, StudentT(_one(5.0)), Normal(_one(0.0), _one(1.2))
    ),
    "q has 5 % on one of two equal modes": partial(
        ratio, _normals(0.5, 0.5), _normals(0.95, 0.05, scale=1.1)
    ),
    "q has 1 % on one of two equal modes": partial(
        ratio, _normals(0.5, 0.5), _normals(0.99, 0.01, scale=1.1)
    ),
    "q has 0.2 % on a mode of 10 %": partial(
        ratio, _normals(0.9, 0.1), _normals(0.998, 0.002, scale=1.1)
    ),
    **{f"lognormal, sd {sd:g}": partial(lognormal, sd) for sd in (0.75, 1.25, 1.75, 2.5)},
}
"""Cases that had no part in choosing."""


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


def run(*, trials: int) -> Iterator[Table]:
    """Measure every case at each K."""
    made = table(
        f"Coverage of log p(x) at K = {' / '.join(f'{count:,}' for count in COUNTS)}, "
        f"{trials:,} trials each",
        *("weights", "lower bound violated", "it is below log p(x) by, nats", "look regular"),
        *("log p(x) covered", "E[L_K/10] covered: regular", "not regular"),
        caption=f"Shares in percent; those covered are of the trials with that label, and `-` for "
        f"fewer than {FEWEST}.",
    )
    for name, draw in (CHOSEN_ON | FRESH).items():
        found = [measure(draw, num_samples=count, trials=trials, seed=_SEED) for count in COUNTS]
        columns = zip(*map(_cells, found), strict=True)
        made.add_row(name, *(" / ".join(cells) for cells in columns))
    yield made


def _cells(found: Coverage) -> list[str]:
    return [
        share(found.violated, found.trials),
        f"{found.slack_nats:.2f}",
        share(found.regular, found.trials),
        share(found.log_px, found.regular),
        share(found.bound_regular, found.regular),
        share(found.bound_other, found.trials - found.regular),
    ]


def share(count: int, total: int) -> str:
    """A share in percent; none of few."""
    return f"{100 * count / total:.1f}" if total >= FEWEST else "-"
