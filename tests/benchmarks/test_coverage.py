"""Coverage of the lower bound and the intervals, with few trials."""

import math

import pytest
import torch

from benchmarks.coverage import CHOSEN_ON, FRESH, Coverage, measure, normal
from tests.oracle import instance

TRIALS = 200
CASES = {**CHOSEN_ON, **FRESH}
A_MODE_IS_RARE = {"q has 0.2 % on a mode of 10 %"}
"""One draw in 500 meets it."""


def spread(share: float, count: int) -> float:
    """Four binomial errors."""
    return 4 * math.sqrt(count * share * (1 - share))


@pytest.mark.parametrize("name", CASES)
def test_the_lower_bound_holds_and_intervals_cover_what_they_name_given_their_label(name):
    found = measure(CASES[name], num_samples=500, trials=TRIALS)
    assert found.violated <= 0.05 * TRIALS + spread(0.05, TRIALS)
    if name == "one of two modes":
        assert found.regular > 0.97 * TRIALS  # no diagnosis can see it
        assert found.log_px < 0.03 * TRIALS  # where a draw has met the other mode
        assert found.violated == 0
        assert found.slack_nats > math.log(2)
    elif name not in A_MODE_IS_RARE:
        assert found.log_px >= 0.93 * found.regular - spread(0.93, found.regular)
        for covered, total in by_label(found):
            assert covered >= 0.91 * total - spread(0.91, total)


def by_label(found: Coverage) -> tuple[tuple[int, int], ...]:
    """How often the interval of the expected bound covers it, and the trials, for each label."""
    return (
        (found.bound_regular, found.regular),
        (found.bound_other, found.trials - found.regular),
    )


def test_no_interval_holds_where_a_mode_is_rare_but_the_lower_bound_does():
    (name,) = A_MODE_IS_RARE
    found = measure(FRESH[name], num_samples=1000, trials=TRIALS)
    assert found.log_px < 0.8 * found.regular
    assert found.bound_regular + found.bound_other < 0.8 * TRIALS
    assert found.violated <= 0.05 * TRIALS + spread(0.05, TRIALS)


def test_the_cases_are_not_all_called_irregular():
    for name in ("easy oracle", "medium oracle", "lognormal, sd 0.5"):
        assert measure(CASES[name], num_samples=500, trials=50).regular >= 48


@pytest.mark.parametrize(
    ("name", "scale", "latents", "shift"), [("medium", 0.9, 8, 0.1), ("hard", 0.8, 50, 0.0)]
)
def test_a_normal_proposals_log_weights_are_those_of_the_oracle(name, scale, latents, shift):
    oracle = instance(name)
    x = oracle.draw(3)

    generator = torch.Generator().manual_seed(5)
    closed = normal(scale, latents, shift, generator, 4, 3)
    generator = torch.Generator().manual_seed(5)
    same = torch.stack(
        [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(latents)], -1
    )
    by_model = oracle.vae.log_weights(x, same) - oracle.log_px(x)
    torch.testing.assert_close(closed, by_model, rtol=1e-9, atol=1e-8)
