"""Bits per dim of a score, and its percentile among the scores of held-out images."""

import math

import numpy as np
import torch

from app.compute.request import ComputeRequest
from app.operations.answers import Comparison
from app.operations.parameters import ElboParameters, LogLikelihoodParameters
from models.estimators.bounds import bits_per_dim
from models.scores.kinds import EvidenceKind, ScoreKind

ScoreParameters = ElboParameters | LogLikelihoodParameters


def compare(
    request: ComputeRequest[ScoreParameters], kind: ScoreKind | EvidenceKind, values: np.ndarray
) -> Comparison:
    """Compare scores, nats, with those that the bundle stores for held-out test images."""
    vae = request.served.vae
    bits = bits_per_dim(torch.from_numpy(values), vae.config.num_dimensions).numpy()
    no_bits = None if vae.is_mass else "The likelihood is a density, which has no bits per dim."
    reference, reason = find_reference(request, kind)
    percentiles: list[float | None] = [None] * len(values)
    if reference is not None:
        percentiles = percentile(values, reference)
    return Comparison(
        bits_per_dim=bits if vae.is_mass else None,
        bits_per_dim_reason=no_bits,
        percentile=percentiles,
        percentile_reason=[
            reason or (None if found is not None else "The score is not finite.")
            for found in percentiles
        ],
        reference_n=None if reference is None else len(reference),
    )


def percentile(values: np.ndarray, reference: np.ndarray) -> list[float | None]:
    """Rank of each value among n ascending ones, in percent; None if it is not finite.

    100 x (1 + number of them that are not higher) / (n + 1): a value counts as one of n + 1.
    """
    found = 100 * (1 + np.searchsorted(reference, values, side="right")) / (len(reference) + 1)
    return [float(f) if math.isfinite(v) else None for f, v in zip(found, values, strict=True)]


def find_reference(
    request: ComputeRequest[ScoreParameters], kind: ScoreKind | EvidenceKind
) -> tuple[np.ndarray | None, str | None]:
    """The stored scores of the same estimator and K, ascending, or None and why there are none.

    Exact values are compared with exact ones, or else with the estimator iwae's of any K; so are
    iwae's where the posterior is exact: every importance weight is then p(x).
    """
    parameters, capabilities = request.parameters, request.served.capabilities
    if parameters.label is not None:
        return None, "The stored scores are of log p(x), without a label, not of log p(x|y)."
    if vars(parameters).get("tolerance_nats") and "exact_posterior" not in capabilities:
        return None, (
            "The stored scores are of one number of the encoder's draws, not of a tolerance. Ask "
            "for num_samples."
        )
    if kind != "ais" and vars(parameters).get("inference") == "refined":
        return None, "The stored scores are of the encoder's draws, not of refined ones."
    if parameters.binarize is not None:
        return None, (
            "The stored scores are of images binarised as the image spec says, not by a threshold. "
            "Leave binarize out."
        )
    references = request.served.stored_scores
    stored = [reference for reference in references if reference.estimator == kind]
    same = [r for r in stored if r.num_samples == parameters.num_samples and kind != "exact"]
    if kind in ("exact", "iwae") and "exact_posterior" in capabilities:
        for equal in ("exact", "iwae"):
            same += [reference for reference in references if reference.estimator == equal]
    if same:
        return same[0].nats, None
    if not stored:
        return None, f"The bundle stores no scores of the estimator {kind}."
    counts = " or ".join(str(reference.num_samples) for reference in stored)
    return None, (
        f"Scores of the estimator {kind} are stored for num_samples={counts}, not for "
        f"{parameters.num_samples}. Ask for num_samples={stored[-1].num_samples}."
    )
