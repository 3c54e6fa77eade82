"""The steps at which the loop looks up: at the sums on the device, the clock and signals.

Processes that train together look up at the same steps, and decide there what all of them do. How
many steps lie between two looks follows from the time that the steps take; no weight depends on it.
"""

import time

from training.fit.ranks import Ranks

SECONDS = 0.1
"""Time between two looks."""


class Meetings:
    """The next step at which the loop looks up; the first is the next one."""

    def __init__(self, ranks: Ranks, *, step: int, at_least_every: int) -> None:
        """Begin at a step.

        Args:
            ranks: The processes that meet.
            step: Steps done.
            at_least_every: There is a look at every multiple of so many steps.
        """
        self._ranks, self._every = ranks, at_least_every
        self._ahead, self._next = 1, step + 1
        self._step, self._time = step, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Whether the loop looks up after this step."""
        return step >= self._next

    def decide(self, step: int, *, ends: bool, saves: bool) -> tuple[bool, bool]:
        """Whether any process wants the run to end here, and a checkpoint; plans the next look."""
        now = time.monotonic()
        seconds_a_step = (now - self._time) / max(1, step - self._step)
        fitting = round(SECONDS / max(seconds_a_step, 1e-6))
        ahead = max(1, min(fitting, 2 * self._ahead)) if self._ranks.is_first else 0
        all_end, all_save, self._ahead = self._ranks.largest(ends, saves, ahead)
        self._next = min(step + self._ahead, (step // self._every + 1) * self._every)
        self._step, self._time = step, time.monotonic()
        return bool(all_end), bool(all_save)
