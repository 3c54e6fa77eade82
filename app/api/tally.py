"""Tallies: observations of a metric, kept at hand until somebody asks for the metric.

A histogram of prometheus_client takes two locked additions for each observation, and in a worker
two writes to a file; a tally appends to a list.
"""

import numpy as np
from prometheus_client import Counter, Histogram


class CounterTally:
    """What was counted for one set of labels; on the event loop alone."""

    __slots__ = ("_child", "count")

    def __init__(self, child: Counter) -> None:
        """Add to a child of a counter."""
        self._child, self.count = child, 0

    def flush(self) -> None:
        """Hand over what was counted."""
        count, self.count = self.count, 0
        self._child.inc(count)


class HistogramTally:
    """What was observed for one set of labels; on the event loop alone."""

    __slots__ = ("_child", "_values", "observe")

    def __init__(self, child: Histogram) -> None:
        """Add to a child of a histogram."""
        self._child = child
        self._values: list[float] = []
        self.observe = self._values.append
        """Take an observation."""

    def flush(self) -> None:
        """Hand over what was observed."""
        if not self._values:
            return
        bounds, values = self._child._upper_bounds, np.array(self._values)
        self._values.clear()
        self._child._sum.inc(float(values.sum()))
        counts = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds))
        for bucket, count in zip(self._child._buckets, counts.tolist(), strict=True):
            if count:
                bucket.inc(count)
