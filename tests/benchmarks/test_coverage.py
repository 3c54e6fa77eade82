"""Coverage of the lower bound and the intervals, with few trials."""

import math

import pytest
import torch

from benchmarks.coverage import CASES, measure, normal
from tests.oracle import instance

TRIALS = 200


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
    else:
        assert found.log_px >= 0.93 * found.regular - spread(0.93, found.regular)


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
