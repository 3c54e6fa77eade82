"""Tallies: observations of a metric, added up at hand until somebody asks for the metric.

A histogram of prometheus_client takes two locked additions for each observation, and in a worker
two writes to a file; a tally takes one addition to a list.
"""

from bisect import bisect_left

from prometheus_client import Counter, Histogram


class CounterTally:
    """What was counted for one set of labels; on the event loop alone."""

    __slots__ = ("_child", "_count")

    def __init__(self, child: Counter) -> None:
        """Add to a child of a counter."""
        self._child, self._count = child, 0

    def inc(self, count: int = 1) -> None:
        """Count."""
        self._count += count

    def flush(self) -> None:
        """Hand over what was counted."""
        count, self._count = self._count, 0
        self._child.inc(count)


class HistogramTally:
    """What was observed for one set of labels; on the event loop alone."""

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Histogram) -> None:
        """Add to a child of a histogram."""
        self._child = child
        self._bounds: list[float] = child._upper_bounds
        self._counts, self._sum = [0] * len(self._bounds), 0.0

    def observe(self, value: float) -> None:
        """Take an observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def flush(self) -> None:
        """Hand over what was observed."""
        counts, self._counts = self._counts, [0] * len(self._bounds)
        total, self._sum = self._sum, 0.0
        self._child._sum.inc(total)
        for bucket, count in zip(self._child._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
