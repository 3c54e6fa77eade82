"""Scores of oddness, and their p-values among good pictures that the model never saw.

    typicality            |ELBO - m|, m the median of good pictures   (Nalisnick et al. 2019)
    complexity            -ELBO - code length                         (Serra et al. 2020)
    reconstruction_error  mean squared error of the reconstruction
    residual_peak         largest mean squared error of a window
    latent_distance       (z - m)' S^-1 (z - m), by mean and covariance of good pictures' z
    sharpness             |sharpness - m|, m the median of good pictures
    likelihood_regret     refined ELBO - ELBO                         (Xiao et al. 2020)
    layers_ratio          ELBO - bound by the upper layers alone      (Havtorn et al. 2021)

The last two are there where good pictures were scored by them (`layers.py`).

    p of a score          (1 + number of held-out scores that are not lower) / (n + 1)
    evidence              sqrt(sum over scores of (log tail)^2), tail: the share of fitted scores
                          above it, continued as an exponential beyond the largest tenth
    p of all              (1 + number of held-out evidences that are not lower) / (n + 1)

Two disjoint parts of the good pictures stand behind it: medians, covariance and tails are of the
fitted ones, and all p-values of the held-out ones. If a picture is drawn like these, P(p <= a) <= a
for every a (Vovk, Gammerman and Shafer 2005, proposition 2.4), whatever the scores are worth.

Sources: Nalisnick et al. 2019, arXiv:1906.02994, for one picture, as in section 3; Serra et al.
    2020, arXiv:1909.11480, equation 2, in nats; Xiao et al. 2020, arXiv:2003.02977, equation 6,
    with normals fitted by `refine.py`; Havtorn et al. 2021, arXiv:2102.08248, equation 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float64

from models.estimators.anomaly import Measured
from models.scores.kinds import AnomalyKind

KINDS: tuple[AnomalyKind, ...] = tuple(
    kind for kind in get_args(AnomalyKind) if kind not in ("likelihood_regret", "layers_ratio")
)
"""Scores that every model has."""
TAIL = 0.1
"""Share of the fitted scores whose excess gives the exponential."""
_LARGEST = 1e300
"""In place of what is not finite: a bound of a picture that float32 finds too improbable."""

Scores = Mapping[AnomalyKind, Float64[np.ndarray, " _"]]


@dataclass(frozen=True)
class Centres:
    """What the scores are measured from, of good pictures."""

    elbo_median_nats: float
    sharpness_median: float
    latent_mean: Float64[np.ndarray, " latent"]
    latent_factor: Float64[np.ndarray, "row latent"]
    """F with F'F = S^-1; a single row is the diagonal of F."""


class Ranked(NamedTuple):
    """What p-values say of each image."""

    p_value: Float64[np.ndarray, " batch"]
    """Of all scores together."""
    p_values: Scores
    """Of each score."""
    decided_by: tuple[AnomalyKind, ...]
    """The score that adds most to the evidence."""


@runtime_checkable
class StoredPictures(Protocol):
    """Good pictures as a bundle stores them: the fields of `Centres` and `Typical`."""

    @property
    def elbo_median_nats(self) -> float: ...
    @property
    def sharpness_median(self) -> float: ...
    @property
    def latent_mean(self) -> Sequence[float]: ...
    @property
    def latent_factor(self) -> Sequence[Sequence[float]]: ...
    @property
    def fitted(self) -> Mapping[AnomalyKind, Sequence[float]]: ...
    @property
    def held_out(self) -> Mapping[AnomalyKind, Sequence[float]]: ...
    @property
    def evidence(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class Typical:
    """Good pictures by their scores, which a picture's are ranked among."""

    centres: Centres
    fitted: Scores
    """Ascending."""
    held_out: Scores
    """Ascending, of other pictures."""
    evidence: Float64[np.ndarray, " held"]
    """Ascending, of the held-out ones."""

    @classmethod
    def of(cls, stored: StoredPictures) -> "Typical":
        """Good pictures as a bundle stores them."""
        centres = Centres(
            stored.elbo_median_nats,
            stored.sharpness_median,
            np.asarray(stored.latent_mean),
            np.asarray(stored.latent_factor),
        )
        fitted, held_out = (
            {kind: np.asarray(values) for kind, values in scores.items()}
            for scores in (stored.fitted, stored.held_out)
        )
        return cls(centres, fitted, held_out, np.asarray(stored.evidence))

    @property
    def kinds(self) -> tuple[AnomalyKind, ...]:
        """The scores that good pictures have, in the order of `AnomalyKind`."""
        return tuple(kind for kind in get_args(AnomalyKind) if kind in self.fitted)

    @property
    def smallest_p_value(self) -> float:
        """1 / (n + 1): no picture can have a smaller one."""
        return 1 / (len(self.evidence) + 1)

    def rank(self, scores: Scores) -> Ranked:
        """The p-values of images by their scores."""
        kinds = self.kinds
        tails = np.stack([log_tails(self.fitted[kind], scores[kind]) for kind in kinds])
        p_values = {kind: conformal_p(self.held_out[kind], scores[kind]) for kind in kinds}
        most = tails.argmax(0).tolist()
        evidence = conformal_p(self.evidence, combine(tails))
        return Ranked(evidence, p_values, tuple(kinds[index] for index in most))


def score(measured: Measured, centres: Centres) -> Scores:
    """The scores of images; the higher, the odder."""
    bound = measured.elbo_nats
    offset = measured.latents - centres.latent_mean
    factor = centres.latent_factor
    rotated = offset * factor[0] if len(factor) == 1 else _rows_times(offset, factor)
    found: dict[AnomalyKind, np.ndarray] = {
        "typicality": np.abs(bound - centres.elbo_median_nats),
        "complexity": -bound - measured.code_nats,
        "reconstruction_error": measured.reconstruction_error,
        "residual_peak": measured.residual_peak,
        "latent_distance": np.square(rotated).sum(1),
        "sharpness": np.abs(measured.sharpness - centres.sharpness_median),
    }
    if measured.likelihood_regret is not None:
        found["likelihood_regret"] = measured.likelihood_regret
    if measured.layers_ratio is not None:
        found["layers_ratio"] = measured.layers_ratio
    return {
        kind: np.nan_to_num(values, nan=_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
        for kind, values in found.items()
    }


def _rows_times(rows: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """F row for each row, by itself: a product of matrices would depend on the others."""
    return np.stack([factor @ row for row in rows]) if len(rows) else rows


def fit_typical(centres: Centres, fitted: Scores, held_out: Scores) -> Typical:
    """Rank the held-out pictures' scores, and their evidence by the tails of the fitted ones.

    Args:
        centres: Of the fitted pictures.
        fitted: Their scores, in any order.
        held_out: Scores of other pictures; image i is entry i of each.
    """
    ascending = {kind: np.sort(values) for kind, values in fitted.items()}
    tails = np.stack([log_tails(ascending[kind], held_out[kind]) for kind in fitted])
    return Typical(
        centres=centres,
        fitted=ascending,
        held_out={kind: np.sort(values) for kind, values in held_out.items()},
        evidence=np.sort(combine(tails)),
    )


def combine(tails: Float64[np.ndarray, "kind batch"]) -> Float64[np.ndarray, " batch"]:
    """The evidence of each image: the root of the sum of squares of its log tails."""
    return np.asarray(np.sqrt(np.square(tails).sum(0)))


def log_tails(
    ascending: Float64[np.ndarray, " known"], values: Float64[np.ndarray, " batch"]
) -> Float64[np.ndarray, " batch"]:
    """-log of the share of known scores that are not lower; strictly rising in the last tenth."""
    count = len(ascending)
    below = np.searchsorted(ascending, values, side="left")
    share = (count - below + 1) / (count + 1)
    start = ascending[int((1 - TAIL) * count)]
    excess = ascending[ascending > start] - start
    scale = float(excess.mean()) if len(excess) else max(abs(float(start)), 1.0) * TAIL
    with np.errstate(over="ignore"):
        beyond = np.minimum(-np.log(TAIL) + (values - start) / scale, 1e100)
    within = np.minimum(-np.log(share), -np.log(TAIL))
    return np.asarray(np.where(values > start, beyond, within))


def conformal_p(
    ascending: Float64[np.ndarray, " known"], values: Float64[np.ndarray, " batch"]
) -> Float64[np.ndarray, " batch"]:
    """(1 + number of known scores that are not lower) / (n + 1)."""
    count = len(ascending)
    not_lower = count - np.searchsorted(ascending, values, side="left")
    return np.asarray((1 + not_lower) / (count + 1), dtype=np.float64)
