"""Merged estimates: those of one run over the union of the draws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.estimators.importance import summarise_weights
from models.estimators.importance_weights import RunningWeights
from tests.app.pictures import binary
from tests.client.conftest import Opened
from vae_client import CallError, LogLikelihoodScores, merge
from vae_client.results import make_answer

pytestmark = pytest.mark.anyio

NAMES = ("a", "b", "c")
EXACT = ("estimate_nats", "standard_error_nats", "effective_sample_size", "elbo_nats")
EXACT += ("gap_lower_bound_nats",)


def scored(log_w: np.ndarray, seed: int) -> LogLikelihoodScores:
    """The answer of the service for these log-weights, (sample, picture)."""
    weights = RunningWeights(log_w.shape[1], len(log_w))
    weights.add(torch.from_numpy(log_w))
    found = summarise_weights(weights, estimator="iwae", has_elbo=True, seed=seed)
    count = log_w.shape[1]
    arrays: dict[str, Any] = {
        name: np.asarray(value) for name, value in vars(found).items() if hasattr(value, "shape")
    }
    facts = {"model": "m", "version": 1, "seed": seed, "label_used": "", "preprocessing": [""]}
    arrays |= {name: np.asarray(value) for name, value in facts.items()}
    arrays |= {"num_samples": np.full(count, len(log_w)), "estimator": np.full(count, "iwae")}
    arrays |= {"inference": np.full(count, "amortised"), "reason": np.full(count, "")}
    arrays |= {"percentile": np.full(count, 50.0), "weights_look_regular": np.full(count, True)}
    arrays |= {"amortised_elbo_nats": np.full(count, np.nan)}
    arrays["bits_per_dim"] = -arrays["estimate_nats"] / (64 * np.log(2))
    return make_answer(LogLikelihoodScores, arrays, (), NAMES[:count])


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("level", [0.0, -900.0, 900.0])
def test_parts_merge_into_one_run_over_the_union_of_the_draws(spread: float, level: float) -> None:
    draws = np.random.default_rng(0).normal(level, spread, (1600, 3))
    parts = [scored(draws[a:b], b) for a, b in ((0, 100), (100, 1100), (1100, 1600))]
    merged, whole = merge(parts), scored(draws, 1)
    for name in EXACT:
        np.testing.assert_allclose(
            getattr(merged, name), getattr(whole, name), rtol=1e-9, atol=1e-9, err_msg=name
        )
    assert (merged.num_samples == 1600).all()
    np.testing.assert_allclose(merged.bits_per_dim, whole.bits_per_dim, rtol=1e-9)
    assert (merged.lower_bound_95_nats == parts[1].lower_bound_95_nats).all()
    for name in ("bound_interval_nats", "log_px_interval_nats", "pareto_k", "percentile"):
        assert np.isnan(getattr(merged, name)).all()
        assert getattr(merged, name).shape == getattr(whole, name).shape
    assert not merged.weights_look_regular.any()
    assert "needs every draw" in merged.reason[0]
    assert (merged.seed, merged.names) == (None, NAMES)


def test_single_draws_and_weights_of_zero_merge() -> None:
    one = merge([scored(np.array([[-3.0]]), 1)])
    assert (one.estimate_nats[0], one.num_samples[0]) == (-3.0, 1)
    assert np.isnan(one.standard_error_nats[0])
    two = merge([scored(np.array([[-3.0]]), 1), scored(np.array([[-5.0]]), 2)])
    np.testing.assert_allclose(two.estimate_nats, np.log((np.exp(-3) + np.exp(-5)) / 2))
    nothing = merge([scored(np.full((5, 1), -np.inf), seed) for seed in (1, 2)])
    assert nothing.estimate_nats[0] == -np.inf


async def test_answers_of_a_service_merge(open_client: Opened) -> None:
    pictures = binary(3)
    async with open_client() as client:
        parts = [
            await client.log_likelihood(pictures, num_samples=400, seed=seed) for seed in (1, 2, 3)
        ]
        refined = [
            await client.log_likelihood(pictures, num_samples=100, seed=s, inference="refined")
            for s in (1, 2)
        ]
    merged = merge(parts)
    mean = np.mean([np.exp(part.estimate_nats) for part in parts], axis=0)
    np.testing.assert_allclose(merged.estimate_nats, np.log(mean), rtol=1e-9)
    both = merge(refined)
    gap = both.elbo_nats - both.amortised_elbo_nats
    np.testing.assert_allclose(both.amortisation_gap_nats, gap)
    with pytest.raises(CallError, match="their inference differs"):
        merge([parts[0], refined[1]])


def test_what_is_not_to_be_merged_is_refused() -> None:
    draws = np.random.default_rng(0).normal(size=(100, 2))
    one, two = scored(draws, 1), scored(draws, 2)
    for parts, words in (
        ([], "at least one answer"),
        ([one, one], "the seed 1, and so the same draws"),
        ([one, merge([one, two])], "merged already. Merge all parts at once"),
        ([one, replace(two, names=("x", "y"))], "names is"),
        ([one, replace(two, model="other")], "model is 'm' in the first and 'other' in another"),
        ([one, replace(two, preprocessing=(("invert",),))], "preprocessing"),
        ([one, scored(draws[:, :1], 3)], "names is"),
    ):
        with pytest.raises(CallError, match=words):
            merge(parts)
