"""Anomaly scores of images, their p-values among good pictures, and maps of the error.

Its bounds have the draws of the request's seed: as good pictures were scored, with another seed.
"""

from typing import Any

import numpy as np

from app.compute.cost import chunk_rows, groups
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.parameters import AnomalyParameters
from app.operations.result import Answer
from models.estimators.anomaly import Measured, join_measured, measure_steps
from models.estimators.steps import Steps
from models.estimators.typicality import Typical, score
from models.images import to_unit
from models.scores.anomaly_score import AnomalyScore
from models.scores.columns import join_columns

DEFAULT_ALPHA = 0.01
_SHADE = 0.6
"""Brightness of the picture under the error, which is red."""


def anomaly(request: ComputeRequest[AnomalyParameters]) -> Steps[Answer]:
    """The scores of each image, their p-values, and whether it is anomalous."""
    served = request.served
    typical = served.typical
    alpha = _checked_alpha(request.parameters.alpha, typical)
    _check_binarization(request.parameters)
    stored = served.bundle.good_pictures
    parts = []
    for part in groups(request):
        measured = yield from measure_steps(
            served.vae,
            request.x(part),
            levels=served.bundle.config.image.levels,
            num_samples=stored.num_samples,  # type: ignore[union-attr]
            seed=request.seed,
            first_item=request.first_item + part.start,
            chunk_rows=chunk_rows(served),
            with_regret="likelihood_regret" in typical.kinds,
        )
        parts.append(measured)
    measured = parts[0] if len(parts) == 1 else join_measured(parts)
    columns = join_columns([_rank(measured, typical, alpha)])
    if request.parameters.map != "none":
        columns["map"] = _maps(request, measured.error)
    facts: dict[str, Any] = {
        "alpha": alpha,
        "reference_n": len(typical.evidence),
        "smallest_p_value": typical.smallest_p_value,
    }
    return Answer(columns, facts=facts)


def _checked_alpha(alpha: float | None, typical: Typical) -> float:
    """The rate of false alarms, unless so few references cannot give it.

    Raises:
        InvalidParameter: Says the smallest.
    """
    smallest, count = typical.smallest_p_value, len(typical.evidence)
    if alpha is None:
        return max(DEFAULT_ALPHA, smallest)
    if alpha < smallest:
        least = float(f"{smallest:.2g}")
        least = least if least >= smallest else float(f"{smallest * 1.1:.2g}")
        raise InvalidParameter(
            f"alpha={alpha:g} is below 1 / ({count:,} + 1): among {count:,} held-out good pictures "
            f"no p-value is smaller. Send alpha={least:g}, or calibrate with more pictures: "
            f"vae-lab calibrate.",
            parameter="alpha",
            received=alpha,
            limit=smallest,
            suggestion=least,
        )
    return alpha


def _check_binarization(parameters: AnomalyParameters) -> None:
    """Refuse pictures that were made in another way than the good ones.

    Raises:
        InvalidParameter: Says so.
    """
    if parameters.binarize is not None:
        raise InvalidParameter(
            f"binarize={parameters.binarize} does not fit anomaly: good pictures were binarised as "
            "the image spec says, and p-values compare with them. Leave binarize out.",
            parameter="binarize",
            received=parameters.binarize,
        )


def _rank(measured: Measured, typical: Typical, alpha: float) -> AnomalyScore[Any]:
    scores = score(measured, typical.centres)
    ranked = typical.rank(scores)
    of_kinds = {str(kind): scores[kind] for kind in typical.kinds}
    of_kinds |= {f"{kind}_p_value": ranked.p_values[kind] for kind in typical.kinds}
    return AnomalyScore(
        p_value=ranked.p_value,
        is_anomalous=ranked.p_value <= alpha,
        decided_by=ranked.decided_by,
        **of_kinds,
    )


def _maps(request: ComputeRequest[AnomalyParameters], error: np.ndarray) -> np.ndarray:
    """Each pixel's error, (N, 1, H, W), or the picture with it in red, (N, 3, H, W); in 0..1."""
    size = np.sqrt(error)[:, None]
    if request.parameters.map == "error":
        return np.asarray(size, dtype=np.float32)
    whole = slice(0, len(error))
    grey = to_unit(request.images(whole), request.served.bundle.config.image).mean(1, keepdims=True)
    shaded = _SHADE * grey * (1 - size)
    coloured = np.concatenate([shaded + size, shaded, shaded], axis=1)
    return np.asarray(coloured.clip(0, 1), dtype=np.float32)
