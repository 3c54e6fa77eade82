"""Every estimate of log p(x), against the oracle's exact value and the estimators themselves."""

import pytest
import torch

from models.errors import UnsupportedOperation
from models.estimators.importance import estimate_log_px
from models.estimators.refine import estimate_refined_log_px
from tests import oracle
from tests.training.trained_cases import of_family, of_oracle
from training.studies.estimates import EstimateRow, estimates

WAYS = ("prior", "encoder", "refined", "annealed")


def of_way(rows: list[EstimateRow], way: str, image: int) -> list[EstimateRow]:
    return [row for row in rows if (row.way, row.image) == (way, image)]


def test_every_way_comes_to_the_exact_value_from_below() -> None:
    instance = oracle.make(**{**oracle.INSTANCES["easy"], "posterior_scale": 0.8})
    x = instance.draw(3)
    exact = instance.log_px(x)
    rows = estimates(of_oracle(instance, x), num_samples=3000, ais_steps=20, seed=1)
    assert {row.way for row in rows} == set(WAYS)
    assert [row.image for row in rows] == sorted(row.image for row in rows)
    for image in range(3):
        for way in WAYS:
            last = of_way(rows, way, image)[-1]
            tolerance = 5 * last.estimate_error_nats + 0.02
            assert last.estimate_nats == pytest.approx(float(exact[image]), abs=tolerance), way
            if way != "annealed":
                assert last.lower_bound_nats < exact[image]
                counts = [row.num_samples for row in of_way(rows, way, image)]
                assert counts == sorted(counts)
                assert (counts[0], counts[-1]) == (40, 3000)
                assert len(counts) <= 6


def test_the_last_estimate_is_that_of_the_estimator_itself() -> None:
    model = of_family("standard", count=2)
    rows = estimates(model, num_samples=200, ais_steps=3, seed=2)
    for way, found in (
        ("encoder", estimate_log_px(model.vae, model.x, num_samples=200, seed=2)),
        ("prior", estimate_log_px(model.vae, model.x, num_samples=200, seed=2, estimator="prior")),
        ("refined", estimate_refined_log_px(model.vae, model.x, num_samples=200, seed=2)),
    ):
        last = [of_way(rows, way, image)[-1] for image in range(2)]
        assert [row.estimate_nats for row in last] == pytest.approx(found.estimate_nats.tolist())
        low, high = found.bound_interval_nats.unbind(-1)
        assert [row.bound_low_nats for row in last] == pytest.approx(low.tolist())
        assert [row.bound_high_nats for row in last] == pytest.approx(high.tolist())


def test_a_model_with_labels_is_scored_by_its_labels() -> None:
    model = of_family("m2", count=2)
    rows = estimates(model, num_samples=100, ais_steps=3, seed=2)
    found = estimate_log_px(model.vae, model.x, num_samples=100, seed=2, y=model.labels)
    last = torch.tensor([of_way(rows, "encoder", image)[-1].estimate_nats for image in range(2)])
    assert torch.allclose(last.double(), found.estimate_nats)


def test_an_autoencoder_has_nothing_to_estimate() -> None:
    with pytest.raises(UnsupportedOperation, match="autoencoder"):
        estimates(of_family("autoencoder"), num_samples=100, ais_steps=3, seed=0)
