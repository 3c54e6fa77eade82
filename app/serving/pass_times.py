"""Measured times: how long passes and requests take, and how many rows fit into a time."""

import math
from typing import Any
from weakref import WeakKeyDictionary

from models.estimators.steps import Pass
from models.vae.networks import MIN_ROWS

FIRST_GUESS_PER_UNIT = 1e-4
"""Expected time of a cost unit, a million multiply-accumulates, of a kind of job that never ran."""
WEIGHT = 0.2
"""Share of the newest measurement in a running mean."""
MAX_SURPRISE = 4.0
"""A longer measurement counts as so many times the mean: another process had the processor."""
MAX_BUCKET = 12


class PassTimes:
    """Running means of seconds: of passes by their rows, and of jobs by their cost; by model.

    Not locked: of two measurements that two threads write at once, one may be lost.
    """

    def __init__(self) -> None:
        self._passes: WeakKeyDictionary[Any, dict[tuple[Any, int], float]] = WeakKeyDictionary()
        self._units: WeakKeyDictionary[Any, dict[tuple[str, int], float]] = WeakKeyDictionary()

    def add(self, asked: Pass, rows: int, seconds: float) -> None:
        """Add the time of a pass; its first `given` is the model."""
        known = self._passes.setdefault(asked.given[0], {})
        place = asked.function, _bucket(rows, least_rows(asked))
        known[place] = _mean(known.get(place), seconds)

    def rows_within(self, asked: Pass, seconds: float) -> int:
        """About how many rows take so many seconds: a multiple of `least_rows`."""
        known, least = self._passes.get(asked.given[0], {}), least_rows(asked)
        for bucket in range(MAX_BUCKET, -1, -1):
            took = known.get((asked.function, bucket))
            if took is not None:
                rows = int(seconds / took * 2**bucket)
                return least * max(1, rows)
        return least

    def add_job(self, model: Any, kind: str, cost: float, seconds: float) -> None:
        """Add the compute of a job of so many cost units."""
        known = self._units.setdefault(model, {})
        place = kind, _magnitude(cost)
        known[place] = _mean(known.get(place), seconds / cost)

    def expected_job(self, model: Any, kind: str, cost: float) -> float:
        """Expected seconds of compute of a job: by the rate of the jobs nearest to it in cost."""
        known, wanted = self._units.get(model, {}), _magnitude(cost)
        rate = known.get((kind, wanted))
        if rate is not None:
            return cost * rate
        near = [
            (abs(place - wanted), -place, rate) for (k, place), rate in known.items() if k == kind
        ]
        return cost * (min(near)[2] if near else FIRST_GUESS_PER_UNIT)


def _mean(known: float | None, new: float) -> float:
    if known is None:
        return new
    return known + WEIGHT * (min(new, MAX_SURPRISE * known) - known)


def least_rows(asked: Pass) -> int:
    """Rows up to which a pass takes about as long as of one."""
    return getattr(asked.given[0], "least_rows", MIN_ROWS)


def _bucket(rows: int, least: int) -> int:
    """0 for up to `least_rows`; 1 for up to twice as many; ..."""
    return min(MAX_BUCKET, max(0, (rows - 1) // least).bit_length())


def _magnitude(cost: float) -> int:
    """Power of four of a cost."""
    return math.frexp(cost)[1] // 2
