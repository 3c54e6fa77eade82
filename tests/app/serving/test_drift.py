"""Windows of p-values: when they are tested, and what they say."""

import numpy as np

from app.serving.drift import LEVEL, Drift

REFERENCES = 1000


def p_values(generator: np.random.Generator, count: int) -> list[float]:
    """Those of pictures like the references."""
    ranks = generator.integers(1, REFERENCES + 2, count)
    return (ranks / (REFERENCES + 1)).tolist()  # type: ignore[no-any-return]


def test_nothing_is_said_before_a_window_is_full() -> None:
    drift = Drift(REFERENCES)
    assert not drift.add(p_values(np.random.default_rng(0), 99), 100)
    assert (drift.windows, drift.p_value, drift.drifts) == (0, None, None)
    assert drift.add([0.5], 100)
    assert drift.windows == 1
    assert drift.drifts is False


def test_a_request_of_many_pictures_fills_several_windows() -> None:
    drift = Drift(REFERENCES)
    assert drift.add(p_values(np.random.default_rng(0), 250), 100)
    assert drift.windows == 2
    assert not drift.add([0.5] * 49, 100)
    assert drift.add([0.5], 100)


def test_other_pictures_drift_and_good_ones_end_it() -> None:
    generator, drift = np.random.default_rng(0), Drift(REFERENCES)
    drift.add([p / 2 for p in p_values(generator, 100)], 100)
    assert drift.drifts is True
    drift.add(p_values(generator, 100), 100)
    assert drift.drifts is False


def test_windows_of_good_pictures_are_seldom_called_a_drift() -> None:
    generator, drift, alarms = np.random.default_rng(1), Drift(REFERENCES), 0
    for _ in range(3000):
        drift.add(p_values(generator, 200), 200)
        alarms += bool(drift.drifts)
    assert alarms <= 3000 * LEVEL + 3 * np.sqrt(3000 * LEVEL)
