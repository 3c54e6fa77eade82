"""The log as charts: each number once, with its unit, where it says something."""

import re

import pytest

from tests.training.conftest import RECIPE
from training.recipes.loop import OptimizerConfig
from training.report.quantities import draw_log

LINE = {
    "epoch": 1,
    "step": 10,
    "seconds": 1.0,
    "validation_bound_nats": -90.0,
    "validation_standard_error_nats": 1.0,
    "best_validation_bound_nats": -90.0,
    "learning_rate": 0.002,
    "skipped_steps": 0,
    "train_elbo_nats": -91.0,
    "train_rate_nats": 10.0,
    "train_distortion_nats": 81.0,
    "train_kl_weight": 1.0,
    "train_new_term_nats": 3.0,
    "train_temperature": 2.0,
    "gradient_norm": 20.0,
    "images_per_second": 5000.0,
    "peak_memory_bytes": 1,
}


def log(**changes: list) -> list[dict]:
    """Three validations; a change has a value for each."""
    lines = [{**LINE, "epoch": epoch} for epoch in (1, 2, 3)]
    return [
        {**line, **{name: values[i] for name, values in changes.items()}}
        for i, line in enumerate(lines)
    ]


def charts(lines: list[dict], *, bound: str = "ELBO", **recipe: object) -> dict[str, tuple]:
    found = draw_log(lines, RECIPE.model_copy(update=recipe), bound=bound, unit="nats per image")
    return {chart.title: (chart.svg, chart.caption) for chart in found}


def legend(svg: str) -> set[str]:
    return {name for name in ("validation", "training", "clipped above") if f">{name}<" in svg}


def test_each_number_of_the_log_has_a_chart_with_its_unit() -> None:
    found = charts(log())
    assert list(found) == [
        "Bound: ELBO",
        "Rate",
        "Distortion",
        "Learning rate",
        "Gradient norm",
        "Speed",
        "New term",
        "Temperature",
    ]
    for title in ("Bound: ELBO", "Rate", "Distortion", "Gradient norm", "New term"):
        assert ">nats per image<" in found[title][0]
    assert ">images a second<" in found["Speed"][0]
    assert "nats" not in re.sub("KL.*nats", "", found["Temperature"][0])
    assert found["Rate"][1].endswith("Last: 10.00.")


def test_the_bound_is_drawn_with_its_error_beside_training() -> None:
    svg, caption = charts(log(validation_bound_nats=[-95.0, -90.0, -91.0]))["Bound: ELBO"]
    assert legend(svg) == {"validation", "training"}
    assert "Highest validation: -90.00 at epoch 2." in caption
    assert "two standard errors" in caption


def test_a_bound_that_is_not_the_elbo_stands_alone() -> None:
    svg, caption = charts(log(), bound="IWAE, K = 5")["Bound: IWAE, K = 5"]
    assert legend(svg) == set()
    assert "Training is" not in caption


def test_a_validation_that_is_not_finite_leaves_a_gap() -> None:
    found = charts(
        log(validation_bound_nats=[None, -90.0, -91.0], validation_standard_error_nats=[None, 1, 1])
    )
    assert "at epoch 2" in found["Bound: ELBO"][1]


def test_a_log_without_any_bound_has_no_chart_of_it() -> None:
    found = charts(log(validation_bound_nats=[None] * 3, train_rate_nats=[None] * 3))
    assert not {"Bound: ELBO", "", "Rate"} & found.keys()
    assert draw_log([], RECIPE, bound="ELBO", unit="nats") == []


def test_an_error_that_is_missing_leaves_out_the_band() -> None:
    found = charts(log(validation_standard_error_nats=[None, 1.0, 1.0]))
    assert "two standard errors" not in found["Bound: ELBO"][1]


def test_numbers_that_never_change_are_left_out_where_they_say_nothing() -> None:
    found = charts(log(train_kl_weight=[0.1, 0.5, 1.0], skipped_steps=[0, 1, 1]))
    assert {"Weight of the KL", "Skipped steps"} <= found.keys()


def test_the_gradient_norm_shows_where_it_was_clipped() -> None:
    clipped = charts(log(), optimizer=OptimizerConfig(gradient_clip=15.0))
    assert legend(clipped["Gradient norm"][0]) == {"clipped above"}
    assert legend(charts(log())["Gradient norm"][0]) == set()


@pytest.mark.parametrize(("value", "words"), [(1234.5, "1,234.50"), (0.00123456, "0.00123")])
def test_captions_round_numbers(value: float, words: str) -> None:
    found = charts(log(learning_rate=[value] * 3))
    assert f"Last: {words}." in found["Learning rate"][1]
