"""log p(x) to a tolerance: which way each image takes, and whether what it says is so."""

import math

import pytest
import torch

from models.errors import InputError, UnsupportedOperation
from models.estimators.fitted_modes import has_further_modes_steps
from models.estimators.importance import estimate_log_px
from models.estimators.refine import SEARCH_ROWS, refine_rows
from models.estimators.steps import run_steps
from models.estimators.tolerance import (
    PILOT_SAMPLES,
    Goal,
    estimate_tolerant_log_px,
    tolerant_log_px_steps,
    tolerant_rows,
)
from models.vae.model import VAE
from tests.models.estimators.test_refine import batch, folded, folded_log_px, random_model
from tests.models.family_cases import family
from tests.oracle import instance, labelled, make

GOAL = Goal(0.1, 3_000)


def score(vae, x, goal=GOAL, **given):
    return estimate_tolerant_log_px(vae, x, goal=goal, **{"seed": 0, "chunk_rows": 50_000, **given})


def exact_q():
    return make(
        latents=3, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=1.0, posterior_shift=0.0
    )


@pytest.mark.parametrize("name", ["easy", "medium", "hard"])
def test_the_tolerance_is_met_on_the_oracles(name):
    oracle = instance(name)
    x = oracle.draw(6)
    e, exact = score(oracle.vae, x), oracle.log_px(x)
    assert e.tolerance_met == e.weights_look_regular == (True,) * 6
    assert e.tolerance_reason == e.num_samples_needed == (None,) * 6
    assert float(e.standard_error_nats.max()) <= 0.1
    error = e.standard_error_nats.clamp_min(1e-6)
    assert float(((e.estimate_nats - exact) / error).abs().max()) < 4.5
    assert (e.tolerance_nats, e.max_num_samples) == (0.1, 3_000)
    assert max(e.num_samples) <= 3_000
    assert max(e.decodings) <= tolerant_rows(oracle.vae, GOAL) + SEARCH_ROWS


def test_a_good_encoder_needs_no_refinement():
    oracle = exact_q()
    e = score(oracle.vae, oracle.draw(3))
    assert e.inference == ("amortised",) * 3
    assert e.num_samples == (210,) * 3
    assert e.decodings == (PILOT_SAMPLES + SEARCH_ROWS + 210,) * 3
    torch.testing.assert_close(e.gap_lower_bound_nats, torch.zeros(3).double(), atol=1e-6, rtol=0)
    assert bool(e.amortised_elbo_nats.isnan().all())
    assert e.num_modes == (None,) * 3


def test_a_poor_encoder_is_refined():
    oracle = instance("hard")
    e = score(oracle.vae, oracle.draw(4))
    assert e.inference == ("refined",) * 4
    assert e.num_modes == (1,) * 4
    assert min(e.decodings) >= 2 * PILOT_SAMPLES + refine_rows(oracle.vae) + 150
    torch.testing.assert_close(e.amortisation_gap_nats, e.elbo_nats - e.amortised_elbo_nats)


def test_a_mode_that_no_draw_of_the_encoder_meets_is_searched_for():
    plain = exact_q()
    vae, x = folded(plain), plain.draw(200)
    loc, scale = plain.exact_posterior(x)
    ratio = loc[:, -1] / scale[-1]
    two = x[ratio > 5][:3]
    found = has_further_modes_steps(vae, x[ratio > 0][:9], None, seed=0, first_item=0)
    assert run_steps(found).count(True) >= 5
    e, exact = score(vae, two), folded_log_px(plain, two)
    assert e.inference == ("refined",) * 3
    assert e.num_modes == (2,) * 3
    assert float((e.estimate_nats - exact).abs().max()) < 0.3
    fixed = score(vae, two, Goal(0.1, 3_000, "amortised"))
    assert fixed.tolerance_met == (True,) * 3  # which says nothing of log 2
    assert float((exact - fixed.estimate_nats).min()) > 0.4


@pytest.mark.parametrize("name", ["standard", "labelled", "categorical"])
def test_an_image_gets_the_same_answer_alone_and_in_any_chunks(name):
    config = family(name)
    vae = random_model(config)
    x, _ = batch(config)
    whole = run_steps(tolerant_log_px_steps(vae, x, goal=GOAL, seed=3), max_rows=48)
    with torch.inference_mode():
        alone = score(vae, x[3:].clone(), seed=3, first_item=3, chunk_rows=48)
    for field in ("estimate_nats", "standard_error_nats", "lower_bound_95_nats"):
        assert torch.equal(getattr(whole, field)[3:], getattr(alone, field)), field
    for field in ("num_samples", "inference", "decodings", "tolerance_met"):
        assert getattr(whole, field)[3:] == getattr(alone, field), field


def test_discrete_latents_are_not_refined():
    config = family("categorical")
    vae, (x, _) = random_model(config), batch(config)
    e = score(vae, x)
    assert e.inference == ("amortised",) * 4
    assert e.tolerance_met == (True,) * 4
    assert tolerant_rows(vae, GOAL) == PILOT_SAMPLES + 3_000
    with pytest.raises(UnsupportedOperation, match="discrete"):
        score(vae, x, Goal(0.1, 3_000, "refined"))


def test_labels_are_summed_over():
    model = labelled(posterior_scale=0.5)
    x = model.draw(4)
    e = score(model.vae, x)
    exact = model.log_joint(x).logsumexp(-1)
    assert e.tolerance_met == (True,) * 4
    error = e.standard_error_nats.clamp_min(1e-6)
    assert float(((e.estimate_nats - exact) / error).abs().max()) < 4.5


def test_a_limit_that_is_too_low_says_how_many_samples_would_do():
    oracle = instance("medium")
    x = oracle.draw(3)
    e = score(oracle.vae, x, Goal(0.01, 200, "amortised"))
    assert e.tolerance_met == (False,) * 3
    assert e.num_samples == (200,) * 3
    for reason, needed in zip(e.tolerance_reason, e.num_samples_needed, strict=True):
        assert needed > 200
        assert f"num_samples={needed}" in reason
    enough = score(oracle.vae, x, Goal(0.01, max(e.num_samples_needed), "amortised"))
    assert enough.tolerance_met.count(True) >= 2


def test_a_tail_that_is_too_heavy_says_that_more_samples_hardly_help():
    oracle = instance("hard")
    e = score(oracle.vae, oracle.draw(6), Goal(0.1, 600, "amortised"))
    heavy = [i for i, k in enumerate(e.pareto_k.tolist()) if k > 0.7]
    assert heavy
    for i in heavy:
        assert not e.tolerance_met[i]
        assert e.num_samples_needed[i] is None
        assert "hardly help" in e.tolerance_reason[i]


def test_an_image_whose_draws_of_the_encoder_miss_the_goal_is_refined_after_all():
    oracle = make(
        latents=4, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=0.7, posterior_shift=0.0
    )
    x = oracle.draw(60)
    e = score(oracle.vae, x, Goal(0.08, 1_000))
    assert set(e.inference) == {"amortised", "refined"}
    before = PILOT_SAMPLES + SEARCH_ROWS + PILOT_SAMPLES + refine_rows(oracle.vae)
    after_all = [
        i
        for i, way in enumerate(e.inference)
        if way == "refined" and e.decodings[i] > before + e.num_samples[i]
    ]
    assert after_all
    assert sum(e.tolerance_met) >= 58
    error = e.standard_error_nats.clamp_min(1e-6)
    assert float(((e.estimate_nats - oracle.log_px(x)) / error).abs().max()) < 4.5
    for i in range(60):
        assert bool(e.amortised_elbo_nats[i].isnan()) == (e.inference[i] == "amortised")


def test_the_draws_that_are_scored_are_those_of_the_fixed_way():
    oracle = exact_q()
    x = oracle.draw(2)
    e = score(oracle.vae, x, first_item=4)
    fixed = estimate_log_px(oracle.vae, x, num_samples=210, seed=0, first_item=4)
    torch.testing.assert_close(e.estimate_nats, fixed.estimate_nats, rtol=0, atol=1e-9)
    assert math.isclose(float(e.lower_bound_95_nats[0]), float(fixed.lower_bound_95_nats[0]))


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="num_samples=0"):
        score(VAE(family("standard")).eval(), batch(family("standard"))[0], Goal(0.1, 0))
