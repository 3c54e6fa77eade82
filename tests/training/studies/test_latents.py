"""Latent use: KL and activity, against the oracle's."""

import math

import pytest

from models.errors import UnsupportedOperation
from models.estimators.activity import ACTIVE, active_units
from models.estimators.elbo import estimate_elbo
from tests import oracle
from tests.training.trained_cases import of_family, of_oracle
from training.studies.latents import latent_use


def test_kl_and_activity_are_the_oracles_sorted_by_kl() -> None:
    instance = oracle.instance("medium")
    x = instance.draw(50)
    rows = latent_use(of_oracle(instance, x))
    loc, scale = instance.exact_posterior(x)
    loc, scale = loc + 0.1 * scale, 0.9 * scale
    kl = 0.5 * (scale**2 + loc**2 - 1) - scale.log()
    order = kl.mean(0).argsort(descending=True).tolist()
    assert [row.part for row in rows] == [f"dimension {i}" for i in order]
    for row, i in zip(rows, order, strict=True):
        assert row.kl_nats == pytest.approx(kl[:, i].mean().item())
        assert row.kl_error_nats == pytest.approx(kl[:, i].std().item() / math.sqrt(50))
        assert row.activity == pytest.approx(loc[:, i].var().item())
    terms = (loc - loc.mean(0)).square() * 50 / 49
    assert sum(row.activity > ACTIVE for row in rows) == active_units(terms)


def test_groups_have_a_kl_and_their_dimensions_an_activity() -> None:
    model = of_family("ladder")
    rows = latent_use(model)
    assert sorted(row.part for row in rows[:5]) == [f"dimension {i}" for i in range(5)]
    activities = [row.activity for row in rows[:5]]
    assert activities == sorted(activities, reverse=True)
    assert all(math.isnan(row.kl_nats) for row in rows[:5])
    assert [row.part for row in rows[5:]] == ["group 1", "group 2"]
    estimate = estimate_elbo(model.vae, model.x, num_samples=10, seed=0)
    assert estimate.kl_per_group_nats is not None
    expected = estimate.kl_per_group_nats.mean(0).tolist()
    assert [row.kl_nats for row in rows[5:]] == pytest.approx(expected)
    assert all(math.isnan(row.activity) for row in rows[5:])


@pytest.mark.parametrize("name", ["autoencoder", "vamp", "full-mixture"])
def test_without_a_kl_per_dimension_the_activity_is_left(name: str) -> None:
    rows = latent_use(of_family(name))
    assert len(rows) == 2
    assert all(math.isnan(row.kl_nats) and row.activity_error > 0 for row in rows)


def test_a_mixture_has_no_dimensions() -> None:
    with pytest.raises(UnsupportedOperation, match="categorical is a mixture"):
        latent_use(of_family("categorical"))
