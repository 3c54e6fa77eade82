"""Scores: columns in the order of JSON, joined over batches."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch

from models.scores.columns import Column, columns_of, join_columns
from models.scores.elbo_score import ElboScore
from models.scores.evidence_score import EvidenceScore


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of two images at a time."""

    nats: Annotated[Any, Column(float | None, "A number.")]
    parts: Annotated[Any, Column(list[float] | None, "Some numbers.")]
    words: Annotated[tuple[str | None, ...], Column(str | None, "A word.")]
    count: Annotated[int, Column(int, "The same for all.")]
    missing: Annotated[Any | None, Column(float | None, "Nothing.")] = None
    seed: int = 0


def test_the_columns_are_the_annotated_fields_in_their_order():
    assert list(columns_of(Score)) == ["nats", "parts", "words", "count", "missing"]
    assert columns_of(Score)["nats"] == Column(float | None, "A number.")


def test_batches_are_joined_image_after_image():
    batches = [
        Score(
            nats=torch.tensor([1.0, 2.0]) + start,
            parts=torch.arange(8.0).reshape(2, 2, 2) + start,
            words=("a", None),
            count=3,
        )
        for start in (0, 10)
    ]
    joined = join_columns(batches)
    assert list(joined) == ["nats", "parts", "words", "count", "missing"]
    np.testing.assert_array_equal(joined["nats"], [1, 2, 11, 12])
    assert joined["parts"].shape == (4, 4)
    np.testing.assert_array_equal(joined["parts"][2], [10, 11, 12, 13])
    assert joined["words"] == ["a", None, "a", None]
    assert joined["count"] == [3] * 4
    assert joined["missing"] == [None] * 4


def test_the_fields_of_the_scores_keep_their_order():
    assert list(columns_of(ElboScore)) == [
        "elbo_nats",
        "expected_log_likelihood_nats",
        "kl_nats",
        "standard_error_nats",
        "kl_per_dimension_nats",
        "kl_per_group_nats",
        "label_kl_nats",
        "kl_method",
        "num_samples",
        "reason",
        "inference",
        "amortised_elbo_nats",
        "amortisation_gap_nats",
        "num_modes",
        "pixel_log_likelihood_nats",
    ]
    assert list(columns_of(EvidenceScore)) == [
        "estimator",
        "num_samples",
        "estimate_nats",
        "standard_error_nats",
        "lower_bound_95_nats",
        "bound_interval_nats",
        "log_px_interval_nats",
        "weights_look_regular",
        "effective_sample_size",
        "pareto_k",
        "elbo_nats",
        "gap_lower_bound_nats",
        "reason",
        "inference",
        "amortised_elbo_nats",
        "amortisation_gap_nats",
        "num_modes",
        "tolerance_nats",
        "tolerance_met",
        "tolerance_reason",
        "num_samples_needed",
        "max_num_samples",
        "decodings",
        "acceptance_rate",
    ]
