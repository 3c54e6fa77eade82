"""How well anomaly scores tell odd pictures from good ones, with bootstrap intervals.

AUROC is the probability that an odd picture scores higher than a good one, AUPR the average
precision, odd ones counting as positive, and the shares found are those of odd pictures above the
score that 1 or 5 % of the good ones reach.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from rich.console import Console
from rich.table import Table

from models.bundle.loading import load_bundle
from models.errors import InputError, UnsupportedOperation
from models.estimators.typicality import Scores, Typical, combine, log_tails, score
from training.data.datasets import load
from training.evaluation.good_pictures import (
    FEWEST_PICTURES,
    Pictures,
    chosen_pictures,
    measure_pictures,
    pictures_of,
)

ALL = "all together"
RATES = (0.01, 0.05)
NUM_BOOTSTRAPS = 500

Values = Float64[np.ndarray, " _"]


@dataclass(frozen=True)
class Detection:
    """How well one score tells the pictures of one odd set from good ones."""

    odd: str
    kind: str
    """Name of the score."""
    n_good: int
    n_odd: int
    auroc: float
    auroc_interval: tuple[float, float]
    aupr: float
    found: Mapping[float, float]
    """Share of odd pictures found, by the rate of false alarms."""
    found_intervals: Mapping[float, tuple[float, float]]


def measure_detection(
    bundle: Path,
    good: str,
    odd: Sequence[str],
    *,
    data_dir: Path | None = None,
    device: str = "cpu",
    console: Console | None = None,
) -> tuple[list[Detection], dict[str, Mapping[str, Values]]]:
    """Score a good set and odd ones as the service does.

    Args:
        bundle: A bundle with scores of good pictures.
        good: Good pictures that neither the model nor its scores of good pictures have seen: a
            folder, a file or a known data set, of which the test split is taken.
        odd: Odd ones, each a folder, a file or a known data set.
        data_dir: Folder of the data sets.
        device: Where to compute.
        console: Shows progress; nowhere by default.

    Returns:
        A row for each odd set and score, and the scores of each set by name.

    Raises:
        UnsupportedOperation: The bundle has no scores of good pictures.
        InputError: All good pictures were calibrated with.
    """
    loaded = load_bundle(bundle)
    if loaded.good_pictures is None:
        raise UnsupportedOperation(
            f"{bundle} has no scores of good pictures. Run vae-lab calibrate {bundle} FOLDER.",
            parameter="bundle",
            received=str(bundle),
            suggestion="vae-lab calibrate",
        )
    stored, spec = loaded.good_pictures, loaded.config.image
    typical = Typical.of(stored)
    scores: dict[str, Mapping[str, Values]] = {}
    for name in (good, *odd):
        dataset = load(name, data_dir=data_dir, console=console)
        x, split = pictures_of(
            dataset, spec, trained_on=loaded.config.provenance.dataset_sha256, console=console
        )
        if name == good and (dataset.name, split) == (stored.dataset, stored.split):
            x = _others(x, name)
        x = x[chosen_pictures(len(x))]
        measured = measure_pictures(
            loaded.vae,
            x,
            spec,
            device=device,
            console=console,
            name=name,
            with_regret="likelihood_regret" in typical.kinds,
        )
        scores[name] = all_scores(typical, score(measured, typical.centres))
    rows = [
        detect(name, kind, scores[good][kind], scores[name][kind])
        for name in odd
        for kind in (ALL, *typical.kinds)
    ]
    return rows, scores


def _others(x: Pictures, name: str) -> Pictures:
    """The pictures that the bundle was not calibrated with.

    Raises:
        InputError: Too few are left.
    """
    others = np.delete(x, chosen_pictures(len(x)), axis=0)
    if len(others) < FEWEST_PICTURES:
        raise InputError(
            f"The bundle was calibrated with {name}, of which {len(others)} pictures are left: "
            f"rates need at least {FEWEST_PICTURES} others. Name other good pictures.",
            parameter="normal",
            received=name,
        )
    return others


def all_scores(typical: Typical, scores: Scores) -> Mapping[str, Values]:
    """Scores by name, and before them the evidence of all together."""
    kinds = typical.kinds
    tails = np.stack([log_tails(typical.fitted[kind], scores[kind]) for kind in kinds])
    return {ALL: combine(tails), **{str(kind): scores[kind] for kind in kinds}}


def detect(odd: str, kind: str, good_scores: Values, odd_scores: Values) -> Detection:
    """How well a score tells odd pictures from good ones."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth = np.repeat([0, 1], [len(good_scores), len(odd_scores)])
    values = np.concatenate([good_scores, odd_scores])
    shares = {rate: share_found(rate) for rate in RATES}
    intervals = _bootstrap([auroc, *shares.values()], good_scores, odd_scores)
    return Detection(
        odd=odd,
        kind=kind,
        n_good=len(good_scores),
        n_odd=len(odd_scores),
        auroc=float(roc_auc_score(truth, values)),
        auroc_interval=intervals[0],
        aupr=float(average_precision_score(truth, values)),
        found={rate: share(good_scores, odd_scores) for rate, share in shares.items()},
        found_intervals=dict(zip(RATES, intervals[1:], strict=True)),
    )


def auroc(good: Values, odd: Values) -> float:
    """AUROC: Mann and Whitney's statistic over the number of pairs; ties count half."""
    ascending = np.sort(good)
    below = np.searchsorted(ascending, odd, side="left")
    not_above = np.searchsorted(ascending, odd, side="right")
    return float((below + not_above).mean() / (2 * len(good)))


def share_found(rate: float) -> Callable[[Values, Values], float]:
    """The share of odd scores above the score that this share of good ones reach."""

    def share(good: Values, odd: Values) -> float:
        allowed = int(rate * len(good))
        threshold = np.sort(good)[len(good) - 1 - allowed]
        return float((odd > threshold).mean())

    return share


def _bootstrap(
    statistics: Sequence[Callable[[Values, Values], float]], good: Values, odd: Values
) -> list[tuple[float, float]]:
    """Percentile intervals of 95 %, over pictures of both sets (Efron and Tibshirani 1993)."""
    generator = np.random.default_rng(0)
    drawn = [
        [statistic(_redraw(good, generator), _redraw(odd, generator)) for statistic in statistics]
        for _ in range(NUM_BOOTSTRAPS)
    ]
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _redraw(values: Values, generator: np.random.Generator) -> Values:
    return values[generator.integers(len(values), size=len(values))]


def format_detections(rows: Sequence[Detection]) -> Table:
    """A table with a row for each odd set and score."""
    table = Table(
        title=f"Odd pictures among {rows[0].n_good:,} good ones; intervals of 95 % in parentheses"
    )
    for name in ("odd pictures", "score", "AUROC", "AUPR", "found at 1 %", "found at 5 %"):
        table.add_column(name, justify="left" if name in ("odd pictures", "score") else "right")
    for row in rows:
        table.add_row(
            f"{row.odd} ({row.n_odd:,})",
            row.kind.replace("_", " "),
            f"{row.auroc:.3f} ({row.auroc_interval[0]:.3f}-{row.auroc_interval[1]:.3f})",
            f"{row.aupr:.3f}",
            *(_percent(row.found[rate], row.found_intervals[rate]) for rate in RATES),
            end_section=row.kind == rows[-1].kind,
        )
    return table


def _percent(share: float, interval: tuple[float, float]) -> str:
    return f"{100 * share:.1f} % ({100 * interval[0]:.1f}-{100 * interval[1]:.1f})"
