"""log p(x) to a tolerance: for each image the cheapest way that its pilots say reaches it.

    way: draws of the encoder's q(z|x), or of a refined proposal;  v: relative variance of a pilot's
    weights;  S: a margin;  t: the tolerance, a standard error in nats
    K = S max(v / t^2, 2 * 50 (1 + v))

The second term lets the weights of the diagnosed half have an effective sample size of 50. An image
is refined where the encoder's K is above 0.9 of the limit or of a refinement's cost, where a search
finds a mode that the encoder's q misses, and where the encoder's draws have missed the goal after
all. The draws that are scored are fresh: neither pilot nor fit has seen them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from models.estimators.fitted_modes import has_further_modes_steps
from models.estimators.importance import (
    MAX_PARETO_K,
    MIN_EFFECTIVE_SAMPLE_SIZE,
    EvidenceEstimate,
    Proposal,
    Sampling,
    iwae_proposal_steps,
    sample_weights,
)
from models.estimators.refine import (
    SEARCH_ROWS,
    is_refinable,
    modes_proposal,
    refine_rows,
    refined_rows_steps,
    score_modes_steps,
    take_items,
)
from models.estimators.steps import CHUNK_ROWS, Steps, check_num_samples, without_steps
from models.scores.evidence_score import EvidenceProgress
from models.scores.kinds import Inference
from models.vae.model import VAE

PILOT_SAMPLES = 300
LADDER = (150, 210, 300, 420, 600, 850, 1200, 1700, 2400, 3400, 4800, 6800)
"""K that images may take, beside the limit: few, so that images share passes."""
_MARGIN = 2.0
"""S: a pilot does not know the variance well. Of 100 images of `mnist`, 83 reach 0.1 nats by 1.3,
89 by 1.6 and 93 by 2."""
_ENCODER_SHARE = 0.9
"""Of a refinement or the limit, what the encoder's draws may take: an image whose draws miss the
goal is refined after all."""

RowsReport = Callable[[Sequence[int], EvidenceProgress[Tensor]], None]


@dataclass(frozen=True)
class Goal:
    """What is asked for."""

    tolerance_nats: float
    """Largest standard error."""
    max_samples: int
    """Largest K."""
    inference: Inference | None = None
    """The only way that may be taken; None takes the cheaper one."""


@torch.no_grad()
def tolerant_log_px_steps(
    vae: VAE,
    x: Float[Tensor, "batch channel height width"],
    *,
    goal: Goal,
    seed: int,
    first_item: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    y: Tensor | None = None,
    report: RowsReport | None = None,
) -> Steps[EvidenceEstimate]:
    """Estimate log p(x), or log p(x|y), to a tolerance, in steps.

    Args:
        vae: The model, in eval mode.
        x: Observations; their support is checked first.
        goal: The tolerance, and the limit.
        seed: Seed of the noise streams; datum i uses item `first_item + i`.
        first_item: Position of the first datum in the request or data set.
        chunk_rows: Largest number of decoder rows per pass; does not change the result.
        y: Labels, for log p(x|y). A model with labels that is given none sums over them.
        report: Told the rows of some data and their running estimates by the draws that are scored.
            A datum whose draws miss the goal after all begins anew.

    Returns:
        The estimates, each with its own K and inference, as the generator's value.

    Raises:
        InputError: No samples, observations outside the support, or invalid labels.
        UnsupportedOperation: The goal asks for a refinement, and `refine.check_refinable` refuses.
    """
    check_num_samples(goal.max_samples)
    vae.check_support(x, y)
    batch = _Batch(vae, x, y, goal, seed, first_item, chunk_rows, report)
    left = list(range(len(x)))
    if goal.inference != "refined":
        left = yield from batch.encoder_steps(left)
    if left:
        yield from batch.refined_steps(left)
    return _join(batch.found, len(x))


estimate_tolerant_log_px = without_steps(tolerant_log_px_steps)
"""log p(x) of each datum to a tolerance; `tolerant_log_px_steps` explains the arguments."""


def tolerant_rows(vae: VAE, goal: Goal) -> int:
    """Decodings that one image usually takes at most, for each label."""
    refined = refine_rows(vae) + PILOT_SAMPLES if is_refinable(vae) else 0
    return PILOT_SAMPLES + refined + goal.max_samples


class _Batch:
    """The images of one call; some of them go one way, and some another."""

    def __init__(
        self,
        vae: VAE,
        x: Tensor,
        y: Tensor | None,
        goal: Goal,
        seed: int,
        first_item: int,
        chunk_rows: int,
        report: RowsReport | None,
    ) -> None:
        self.vae, self.x, self.y, self.goal = vae, x, y, goal
        self.seed, self.first_item, self.chunk_rows = seed, first_item, chunk_rows
        self.report = report
        self.may_choose = goal.inference is None and is_refinable(vae)
        self.spent = [0] * len(x)
        """Decodings of each image, for each label."""
        self.found: list[tuple[list[int], EvidenceEstimate]] = []
        """Scores of some of the images each."""

    def encoder_steps(self, items: list[int]) -> Steps[list[int]]:
        """Score images by draws of the encoder's q where these do, and give those left over."""
        x, y = self._data(items)
        encoder = yield from iwae_proposal_steps(self.vae, x, y)
        needed = yield from self._needed_steps(items, encoder)
        good, limit = items, self.goal.max_samples
        if self.may_choose:
            limit = int(_ENCODER_SHARE * min(limit, refine_rows(self.vae)))
            good = [i for i in items if needed[i] <= limit]
            good = yield from self._without_further_modes_steps(good)
        scored: list[int] = []
        for count, some in _by_count(good, needed, limit):
            x, y = self._data(some)
            encoder = yield from iwae_proposal_steps(self.vae, x, y)
            (found,) = yield from sample_weights(x, encoder, self._told(some, count))
            scored += self._keep(some, found, may_fail=not self.may_choose)
        return [i for i in items if i not in scored]

    def refined_steps(self, items: list[int]) -> Steps[None]:
        """Score images by refined proposals."""
        x, y = self._data(items)
        at = self._sampling(items, PILOT_SAMPLES).first_item
        rows, modes = yield from refined_rows_steps(self.vae, x, y, seed=self.seed, first_item=at)
        fitted, _ = modes_proposal(self.vae, x, rows, modes)
        needed = yield from self._needed_steps(items, fitted)
        self._spend(items, refine_rows(self.vae))
        for count, some in _by_count(items, needed, self.goal.max_samples):
            x, y = self._data(some)
            places = [items.index(i) for i in some]
            part = take_items(self.vae, rows, modes, places, len(items))
            sampling = self._told(some, count)
            found = yield from score_modes_steps(self.vae, x, y, *part, sampling)
            self._keep(some, found, may_fail=True)

    def _without_further_modes_steps(self, items: list[int]) -> Steps[list[int]]:
        """Images whose search finds none: draws of q say nothing of a mode that q misses."""
        if not items:
            return []
        at = self._sampling(items, 1).first_item
        found = yield from has_further_modes_steps(
            self.vae, *self._data(items), seed=self.seed, first_item=at
        )
        self._spend(items, SEARCH_ROWS)
        return [i for i, further in zip(items, found, strict=True) if not further]

    def _needed_steps(self, items: list[int], proposal: Proposal) -> Steps[dict[int, float]]:
        """The K that a pilot asks for, of each image; inf where its tail is too heavy to tell."""
        pilot, (x, _) = replace(proposal, purpose="pilot"), self._data(items)
        sampling = self._sampling(items, PILOT_SAMPLES)
        (found,) = yield from sample_weights(x, pilot, sampling)
        self._spend(items, PILOT_SAMPLES)
        return {i: _MARGIN * k for i, k in zip(items, _needed(found, self.goal), strict=True)}

    def _keep(self, items: list[int], found: EvidenceEstimate, *, may_fail: bool) -> list[int]:
        """Keep the scores that reach the goal, or all, and give the images of those kept."""
        self._spend(items, found.common_num_samples)
        branches = self.vae.num_labels if self.y is None else 0
        spent = [self.spent[i] * max(1, branches) for i in items]
        judged = _judge(found, self.goal, spent)
        met = cast(tuple[bool, ...], judged.tolerance_met)
        kept = [i for i, reached in zip(items, met, strict=True) if reached or may_fail]
        self.found.append((items, judged))
        return kept

    def _data(self, items: list[int]) -> tuple[Tensor, Tensor | None]:
        at = torch.tensor(items, device=self.x.device)
        return self.x[at], None if self.y is None else self.y[at]

    def _sampling(self, items: list[int], count: int) -> Sampling:
        return Sampling((count,), self.seed, [self.first_item + i for i in items], self.chunk_rows)

    def _told(self, items: list[int], count: int) -> Sampling:
        """The draws that are the answer, whose running estimates are told."""
        sampling, report = self._sampling(items, count), self.report
        if report is None:
            return sampling
        return replace(sampling, report=lambda progress: report(items, progress))

    def _spend(self, items: list[int], decodings: int) -> None:
        for i in items:
            self.spent[i] += decodings


def _by_count(
    items: list[int], needed: Mapping[int, float], limit: int
) -> list[tuple[int, list[int]]]:
    """The images of each K, which is one of few, so that images share passes."""
    ladder = [k for k in LADDER if k < limit]
    groups: dict[int, list[int]] = {}
    for i in items:
        count = min((k for k in ladder if k >= needed[i]), default=limit)
        groups.setdefault(count, []).append(i)
    return sorted(groups.items())


def _needed(found: EvidenceEstimate, goal: Goal) -> list[float]:
    """The K at which weights as varied as these reach the goal; inf of too heavy a tail."""
    needed, count = [], found.common_num_samples
    for size, k in zip(found.effective_sample_size.tolist(), found.pareto_k.tolist(), strict=True):
        variance = max(0.0, count / size - 1)
        regular = 2 * MIN_EFFECTIVE_SAMPLE_SIZE * (1 + variance)
        light = k <= MAX_PARETO_K and math.isfinite(size)
        needed.append(max(variance / goal.tolerance_nats**2, regular) if light else math.inf)
    return needed


def _judge(found: EvidenceEstimate, goal: Goal, spent: Sequence[int]) -> EvidenceEstimate:
    """Say whether the estimates reach the goal, and if not, whether more K would help."""
    count = found.common_num_samples
    met, reasons, more = [], [], []
    errors = found.standard_error_nats.tolist()
    for regular, error, needed in zip(
        found.weights_look_regular, errors, _needed(found, goal), strict=True
    ):
        met.append(regular and error <= goal.tolerance_nats)
        helps = not met[-1] and math.isfinite(needed)
        more.append(math.ceil(_MARGIN * max(needed, count) / 100) * 100 if helps else None)
        reasons.append(None if met[-1] else _reason(count, goal, more[-1]))
    return replace(
        found,
        tolerance_nats=goal.tolerance_nats,
        tolerance_met=tuple(met),
        tolerance_reason=tuple(reasons),
        num_samples_needed=tuple(more),
        max_num_samples=goal.max_samples,
        decodings=tuple(spent),
    )


def _reason(count: int, goal: Goal, more: int | None) -> str:
    if more is None:
        return (
            f"The weights' tail is too heavy at K = {count:,}: more samples would hardly help. "
            "Rely on lower_bound_95_nats."
        )
    return (
        f"K = {count:,} is too few for a standard error of {goal.tolerance_nats:g} nats and "
        f"regular weights; about {more:,} would do. Ask for num_samples={more} with "
        "tolerance_nats."
    )


_OF_BATCH = ("estimator", "seed", "tolerance_nats", "max_num_samples")
_OF_SOME = ("elbo_nats", "gap_lower_bound_nats", "amortised_elbo_nats", "amortisation_gap_nats")
"""Numbers that some ways lack."""


def _join(found: Sequence[tuple[list[int], EvidenceEstimate]], count: int) -> EvidenceEstimate:
    """Scores of some images each as those of all; what some of them lack is NaN or None."""
    joined: dict[str, Any] = {}
    for field in fields(found[0][1]):
        values = [(items, getattr(score, field.name)) for items, score in found]
        shapes = [value.shape[1:] for _, value in values if isinstance(value, Tensor)]
        if field.name in _OF_BATCH:
            joined[field.name] = values[0][1]
        elif shapes or field.name in _OF_SOME:
            shape = shapes[0] if shapes else ()
            whole = torch.full((count, *shape), math.nan, dtype=torch.float64)
            for items, value in values:
                whole[items] = math.nan if value is None else value
            joined[field.name] = whole
        else:
            entries: list[Any] = [None] * count
            for items, value in values:
                for place, i in enumerate(items):
                    entries[i] = value[place] if isinstance(value, tuple) else value
            joined[field.name] = tuple(entries)
    return replace(found[0][1], **joined)
