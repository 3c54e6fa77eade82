"""Drift: whether the pictures that a model is asked about are still like its good ones.

The p-values of `anomaly` are collected, and each full window is tested for uniformity. Windows do
not overlap, so that the level holds for each.
"""

from collections.abc import Iterable

import numpy as np

from models.estimators.uniformity import uniformity_p_value

LEVEL = 0.001
"""Share of windows that are called a drift although there is none."""


class Drift:
    """The p-values of one worker's pictures by one version of a model."""

    def __init__(self, references: int) -> None:
        """Begin the first window.

        Args:
            references: Good pictures that p-values are ranked among.
        """
        self._references = references
        self._collected: list[float] = []
        self.windows = 0
        """Full ones."""
        self.p_value: float | None = None
        """Of the last full window."""

    def add(self, p_values: Iterable[float], window: int) -> bool:
        """Collect p-values, and test each window that they fill.

        Args:
            p_values: Those of a request's pictures, in their order.
            window: Pictures of a window.

        Returns:
            Whether a window was filled.
        """
        before = self.windows
        for p_value in p_values:
            self._collected.append(p_value)
            if len(self._collected) >= window:
                self.p_value = uniformity_p_value(np.array(self._collected), self._references)
                self.windows += 1
                self._collected.clear()
        return self.windows > before

    @property
    def drifts(self) -> bool | None:
        """Whether the last full window is unlike the good pictures; None before the first."""
        return None if self.p_value is None else self.p_value < LEVEL
