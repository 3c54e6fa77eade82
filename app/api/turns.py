"""Turns of the event loop: so many requests begin in one, so that none lasts long.

All requests whose bytes have come would otherwise begin in the same turn, and whatever comes after
them, a probe or a request that is refused for want of room, would wait for hundreds.
"""

import asyncio
from collections import deque
from collections.abc import Callable

REQUESTS = 32
"""Requests that begin in a turn: ten milliseconds of reading and answering, and enough to share a
pass of a network."""


class Turns:
    """Begins requests in the order in which they came, `REQUESTS` in a turn."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._waiting: deque[Callable[[], None]] = deque()
        self._begun = 0

    def begin(self, start: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Start a request now, or in the next turn that has room."""
        if self._waiting or self._begun >= REQUESTS:
            self._waiting.append(start)
            return
        if self._begun == 0:
            loop.call_soon(self._next, loop)
        self._begun += 1
        start()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = min(len(self._waiting), REQUESTS)
        if self._begun:
            loop.call_soon(self._next, loop)
        for _ in range(self._begun):
            self._waiting.popleft()()
