"""p-values that keep their promise, whatever the scores; tails and distances by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from models.estimators.anomaly import Measured
from models.estimators.typicality import (
    KINDS,
    Centres,
    combine,
    conformal_p,
    fit_typical,
    log_tails,
    score,
)

CENTRES = Centres(-90.0, 0.5, np.array([1.0, -1.0]), np.array([[2.0, 1.0], [0.0, 3.0]]))


def measured(**changed):
    values = {
        "elbo_nats": [-100.0, -60.0],
        "code_nats": [120.0, 30.0],
        "error": np.zeros((2, 3, 3)),
        "reconstruction_error": [0.1, 0.2],
        "residual_peak": [0.3, 0.6],
        "latents": [[1.0, -1.0], [2.0, 1.0]],
        "sharpness": [0.4, 0.9],
    } | changed
    return Measured(**{name: np.asarray(value) for name, value in values.items()})


def draw(generator, count):
    """Scores that depend on each other, and have heavy and light tails."""
    base = generator.standard_normal((count, len(KINDS)))
    base[:, 1] += base[:, 0]
    base[:, 2] = np.exp(base[:, 2])
    base[:, 3] = np.round(base[:, 3])
    return dict(zip(KINDS, base.T, strict=True))


def test_scores_are_what_they_say():
    found = score(measured(), CENTRES)
    assert found["typicality"].tolist() == [10, 30]
    assert found["complexity"].tolist() == [-20, 30]
    assert found["reconstruction_error"].tolist() == [0.1, 0.2]
    assert found["residual_peak"].tolist() == [0.3, 0.6]
    assert found["latent_distance"].tolist() == [0, (2 + 2) ** 2 + 6**2]
    assert found["sharpness"] == pytest.approx([0.1, 0.4])


def test_what_was_measured_on_request_is_a_score_too():
    more = measured(likelihood_regret=[1.5, 20.0], layers_ratio=[0.25, 3.0])
    found = score(more, CENTRES)
    assert found["likelihood_regret"].tolist() == [1.5, 20]
    assert found["layers_ratio"].tolist() == [0.25, 3]
    typical = fit_typical(CENTRES, found, found)
    assert typical.kinds == (*KINDS, "likelihood_regret", "layers_ratio")
    assert set(typical.rank(found).p_values) == set(typical.kinds)


def test_a_single_row_of_the_factor_is_its_diagonal():
    centres = Centres(-90.0, 0.5, np.array([1.0, -1.0]), np.array([[2.0, 3.0]]))
    assert score(measured(), centres)["latent_distance"].tolist() == [0, 2**2 + 6**2]


def test_what_float32_finds_impossible_is_as_odd_as_can_be():
    good = {kind: np.linspace(0, 1, 50) for kind in KINDS}
    typical = fit_typical(CENTRES, good, good)
    scores = score(measured(elbo_nats=[-math.inf, math.nan]), CENTRES)
    assert all(np.isfinite(values).all() for values in scores.values())
    ranked = typical.rank(scores)
    assert ranked.p_value.tolist() == [1 / 51] * 2 == [typical.smallest_p_value] * 2
    assert set(ranked.decided_by) <= {"typicality", "complexity"}


def test_a_p_value_counts_the_pictures_that_are_not_less_odd():
    known = np.array([1.0, 2.0, 2.0, 5.0])
    found = conformal_p(known, np.array([0.0, 2.0, 2.5, 5.0, 6.0]))
    assert found.tolist() == [1, 4 / 5, 2 / 5, 2 / 5, 1 / 5]


def test_tails_follow_the_ranks_and_go_on_beyond_them():
    known = np.arange(100.0)
    values = np.array([-1.0, 49.5, 89.0, 90.5, 94.5, 99.0, 150.0])
    tails = log_tails(known, values)
    assert tails[:3] == pytest.approx([0, math.log(101 / 51), math.log(101 / 12)])
    assert (np.diff(tails) > 0).all()
    assert tails[-1] == pytest.approx(math.log(10) + (150 - 90) / 5)  # mean excess of 91..99 is 5
    assert combine(np.array([[3.0, 0.0], [4.0, 1.0]])).tolist() == [5, 1]


def test_scores_that_are_all_alike_have_tails():
    tails = log_tails(np.zeros(20), np.array([0.0, 1.0]))
    assert np.isfinite(tails).all()
    assert tails[0] < tails[1]
    assert np.isfinite(log_tails(np.zeros(20), np.array([1e300]))).all()


def test_p_values_of_good_pictures_are_uniform_and_alarms_as_rare_as_asked_for():
    generator = np.random.default_rng(3)
    found = {kind: [] for kind in ("all", *KINDS)}
    for _ in range(400):
        typical = fit_typical(CENTRES, draw(generator, 40), draw(generator, 99))
        ranked = typical.rank(draw(generator, 5))
        found["all"] += ranked.p_value.tolist()
        for kind in KINDS:
            found[kind] += ranked.p_values[kind].tolist()
    for alpha in (0.01, 0.05, 0.2):
        for kind, p_values in found.items():
            # 5 of each round share references: a binomial with as many trials as rounds is wider.
            false = np.mean(np.array(p_values) <= alpha)
            limit = alpha + 4 * math.sqrt(alpha * (1 - alpha) / 400)
            assert false <= limit, kind
    spread = np.array(found["all"]) - generator.uniform(0, 0.01, len(found["all"]))
    assert stats.kstest(spread[::5], "uniform").pvalue > 0.01


def test_the_score_that_adds_most_decides():
    generator = np.random.default_rng(4)
    typical = fit_typical(CENTRES, draw(generator, 50), draw(generator, 50))
    for kind in KINDS:
        scores = {name: np.zeros(1) for name in KINDS} | {kind: np.array([60.0])}
        assert typical.rank(scores).decided_by == (kind,)
