"""Every way to estimate log p(x) of a few images, as draws grow: how each comes up from below.

By draws from the prior, from the encoder's q(z|x), from a proposal fitted to the image, each with
both bounds; and by annealed importance sampling, whose chains have no K.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from models.estimators.annealed_chains import Annealing
from models.estimators.annealing import estimate_annealed_log_px
from models.estimators.importance import EvidenceEstimate, RunningEstimate, log_px_steps
from models.estimators.refine import refined_log_px_steps
from models.estimators.steps import run_steps
from models.scores.evidence_score import EvidenceProgress
from training.evaluation.trained import TrainedModel
from training.studies.requirements import require_density

LEAST = 40
"""The smallest K; the next ones are about three times larger each. Fewer at once take long."""


@dataclass(frozen=True)
class EstimateRow:
    """One estimate of log p(x) of one image."""

    image: int
    """Its place among the images that were drawn."""
    way: str
    """prior, encoder, refined or annealed."""
    num_samples: int
    """K; the number of chains of the annealed one."""
    estimate_nats: float
    estimate_error_nats: float
    lower_bound_nats: float
    """Below log p(x) with 95 % confidence; NaN of the annealed one, which has none."""
    bound_low_nats: float
    """Interval of the expected bound by a tenth of the draws, 95 %."""
    bound_high_nats: float


def estimates(
    model: TrainedModel, *, num_samples: int, ais_steps: int, seed: int
) -> list[EstimateRow]:
    """Estimate log p(x), or log p(x|y) of a model with labels, of each image in every way.

    Args:
        model: The model, and the images: a few.
        num_samples: The largest K.
        ais_steps: Steps of the annealed chains.
        seed: Seed of the noise.

    Raises:
        UnsupportedOperation: The model has no density, or its latents cannot be refined.
    """
    require_density(model)
    vae = model.vae
    x = model.x.to(next(vae.parameters()))
    y = model.labels if vae.num_labels else None
    rows: list[EstimateRow] = []
    options: dict[str, Any] = {"num_samples": num_samples, "seed": seed, "y": y}
    options["chunk_rows"] = LEAST * len(x)
    for way in ("prior", "encoder", "refined"):
        reports: list[RunningEstimate] = []
        options["report"] = reports.append
        if way == "refined":
            last = run_steps(refined_log_px_steps(vae, x, **options))
        else:
            estimator: Any = "prior" if way == "prior" else "iwae"
            (last,) = run_steps(log_px_steps(vae, x, estimator=estimator, **options))
        rows += [row for report in thinned(reports, num_samples) for row in _rows(way, report)]
        rows += _rows(way, last)
    settings = Annealing(start="refined", num_steps=ais_steps)
    annealed = estimate_annealed_log_px(vae, x, seed=seed, settings=settings, y=y)
    found = zip(annealed.estimate_nats, annealed.standard_error_nats, strict=True)
    rows += [
        EstimateRow(i, "annealed", settings.num_chains, float(value), float(error), nan, nan, nan)
        for i, (value, error) in enumerate(found)
    ]
    return sorted(rows, key=lambda row: row.image)


def thinned(reports: Sequence[RunningEstimate], num_samples: int) -> list[RunningEstimate]:
    """About two reports for each tenfold number of draws, up to half of the final number."""
    kept: list[RunningEstimate] = []
    for report in reports:
        is_apart = not kept or report.num_samples >= 2.9 * kept[-1].num_samples
        if is_apart and 2 * report.num_samples <= num_samples:
            kept.append(report)
    return kept


def _rows(way: str, report: RunningEstimate | EvidenceEstimate) -> list[EstimateRow]:
    numbers = (
        report.estimate_nats,
        report.standard_error_nats,
        report.lower_bound_95_nats,
        *report.bound_interval_nats.unbind(-1),
    )
    count = (
        report.num_samples if isinstance(report, EvidenceProgress) else report.common_num_samples
    )
    return [
        EstimateRow(i, way, count, *map(float, values))
        for i, values in enumerate(zip(*numbers, strict=True))
    ]
