"""Rate and distortion, against the oracle's KL."""

import pytest

from tests import oracle
from tests.training.trained_cases import of_oracle
from training.recipes.objective import ELBOConfig
from training.studies.rate_distortion import rate_distortion


def test_rate_and_distortion_are_the_oracles_and_rise_with_the_rate() -> None:
    settings, models = oracle.INSTANCES["easy"], []
    x = oracle.make(**settings).draw(40)
    for beta, scale in ((1.0, 1.0), (4.0, 1.6), (0.5, 0.4)):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        models.append(of_oracle(instance, x, name=f"{beta}", objective=ELBOConfig(beta=beta)))
    rows = rate_distortion(models, num_samples=20)
    assert [row.beta for row in rows] == [4.0, 1.0, 0.5]
    for row, scale in zip(rows, (1.6, 1.0, 0.4), strict=True):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        assert row.rate_nats == pytest.approx(instance.kl(x).mean().item())
        assert row.rate_nats + row.distortion_nats == pytest.approx(-row.elbo_nats)
        assert row.rate_error_nats == pytest.approx(instance.kl(x).std().item() / 40**0.5)
