"""Tallies: what is added up at hand is what the metric would have observed."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from app.api.tally import CounterTally, HistogramTally

VALUES = [0.0, 0.1, 0.10001, 0.5, 2.0, 50.0]


def test_a_histograms_tally_is_the_histogram() -> None:
    texts = []
    for is_tally in (False, True):
        registry = CollectorRegistry()
        child = Histogram("h", "words", ["a"], buckets=(0.1, 0.5, 2), registry=registry).labels("x")
        tally = HistogramTally(child)
        for value in VALUES:
            (tally if is_tally else child).observe(value)
        tally.flush()
        tally.flush()  # what was handed over is not handed over again
        texts.append(
            [t for t in generate_latest(registry).decode().split("\n") if "created" not in t]
        )
    assert texts[0] == texts[1]
    assert 'h_bucket{a="x",le="+Inf"} 6.0' in texts[0]


def test_a_counters_tally_is_the_counter() -> None:
    registry = CollectorRegistry()
    tally = CounterTally(Counter("c", "words", registry=registry))
    tally.count += 1
    tally.count += 4
    assert registry.get_sample_value("c_total") == 0
    tally.flush()
    tally.flush()
    assert registry.get_sample_value("c_total") == pytest.approx(5)
