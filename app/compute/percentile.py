"""Where a score stands: bits per dim, and its rank among held-out images; it scores nothing."""

import math
from typing import Any

import numpy as np
import torch

from app.serving.served_model import ServedModel
from models.estimators.bounds import bits_per_dim


def percentile_fields(
    served: ServedModel, parameters: Any, estimator: str, values: np.ndarray
) -> dict[str, Any]:
    """Bits per dim and percentile of each value, or why there are none."""
    n = len(values)
    if served.vae.is_mass:
        tensor = torch.from_numpy(values)
        bits: Any = bits_per_dim(tensor, served.vae.config.num_dimensions).numpy()
        bits_reason = None
    else:
        bits, bits_reason = [None] * n, "The likelihood is a density: bits per dim need a mass."
    percentiles, reason, reference_n = percentile(served, parameters, estimator, values)
    return {
        "bits_per_dim": bits,
        "bits_per_dim_reason": [bits_reason] * n,
        "percentile": percentiles,
        "percentile_reason": [
            reason or (None if found is not None else "The value is not finite.")
            for found in percentiles
        ],
        "reference_n": [reference_n] * n,
    }


def percentile(
    served: ServedModel, parameters: Any, estimator: str, values: np.ndarray
) -> tuple[list[float | None], str | None, int | None]:
    """(rank + 0.5) / (n + 1) x 100 among the stored values of the same estimator and K.

    Exact values are compared with any K's of the estimator iwae, which are then exact too.

    Returns:
        The percentiles, why there are none, and n.
    """
    exact = estimator == "exact"  # every importance weight is then p(x), whatever their number
    kind = "iwae" if exact else estimator
    stored = [r for r in served.bundle.evaluation.references if r.estimator == kind]
    match = [r for r in stored if exact or r.num_samples == parameters.num_samples]
    if parameters.label is not None:
        reason = "The stored values are of images without a label, not of log p(x|y)."
    elif parameters.binarize is not None:
        reason = "The stored values were binarised as the image spec says, not by a threshold."
    elif not match:
        have = ", ".join(str(r.num_samples) for r in stored) or "no num_samples"
        wanted = "" if exact else f", not for {parameters.num_samples}"
        reason = (
            f"Percentiles compare equal estimators: values of {kind} are stored for {have}{wanted}."
        )
    else:
        reference = np.asarray(match[0].values_nats)
        ranks = np.searchsorted(reference, values)
        found = (ranks + 0.5) / (len(reference) + 1) * 100
        listed = [
            float(f) if math.isfinite(v) else None for f, v in zip(found, values, strict=True)
        ]
        return listed, None, len(reference)
    return [None] * len(values), reason, None
