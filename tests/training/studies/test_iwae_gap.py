"""The gap between two bounds over the K of training."""

import pytest

from models.errors import ConfigError
from tests import oracle
from tests.training.conftest import RECIPE
from tests.training.trained_cases import of_family, of_oracle
from training.recipes.objective import ELBOConfig, IWAEConfig, M2Config
from training.studies.iwae_gap import iwae_gap


def test_the_gap_grows_where_training_had_a_tighter_bound_and_a_wider_posterior() -> None:
    settings = oracle.INSTANCES["easy"]
    x = oracle.make(**settings).draw(30)
    models = []
    for samples, scale in ((1, 0.6), (5, 0.3)):
        instance = oracle.make(**{**settings, "posterior_scale": scale})
        objective = IWAEConfig(num_samples=samples, gradient="dreg") if samples > 1 else None
        change = {"objective": objective or ELBOConfig(num_samples=3)}
        models.append(of_oracle(instance, x, name=f"k{samples}", **change))
    rows = iwae_gap(models[::-1], elbo_samples=100, iwae_samples=50)
    assert [(row.num_samples, row.gradient) for row in rows] == [(1, "elbo"), (5, "dreg")]
    for row in rows:
        assert row.gap_nats == pytest.approx(row.log_px_nats - row.elbo_nats)
        assert row.active_units == 2
    assert rows[1].gap_nats > rows[0].gap_nats > 0


def test_a_run_of_an_objective_without_k_is_refused() -> None:
    recipe = RECIPE.model_copy(update={"objective": M2Config()})
    with pytest.raises(ConfigError, match=r"standard was trained by m2, .* Leave it out\."):
        iwae_gap([of_family("standard", recipe=recipe)], elbo_samples=1, iwae_samples=1)
