"""The learning rate over a run."""

import pytest

from training.config import ScheduleConfig
from training.optimizer import schedule


def test_the_schedule_warms_up_and_falls_to_zero():
    config = ScheduleConfig(warmup=0.1)
    assert schedule(0.0, config) > 0
    assert schedule(0.05, config) == pytest.approx(0.5)
    assert schedule(0.1, config) == 1.0
    assert schedule(0.55, config) == pytest.approx(0.5)
    assert schedule(1.0, config) == pytest.approx(0.0)
    assert schedule(0.9, ScheduleConfig(kind="constant", warmup=0.0)) == 1.0
