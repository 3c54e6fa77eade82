"""An operation's answer under way: a coroutine that runs without a task of the event loop.

It begins at once instead of in the loop's next turn, and needs neither a context of its own nor a
place in asyncio's list of tasks. What it awaits are futures alone: `asyncio.timeout` needs a task.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger("app")


class Run:
    """Runs a coroutine to its end, from one future that it awaits to the next."""

    __slots__ = ("_awaited", "_callbacks", "_coroutine", "_has_ended", "_on_fault", "_running")

    def __init__(
        self,
        coroutine: Coroutine[Any, None, None],
        running: set[Any],
        on_fault: Callable[[], None],
    ) -> None:
        """Prepare a run.

        Args:
            coroutine: What runs.
            running: Holds the run while it lasts.
            on_fault: Called where the coroutine raises, or is cancelled.
        """
        self._coroutine, self._running, self._on_fault = coroutine, running, on_fault
        self._awaited: Any = None
        self._callbacks: list[Callable[[Any], None]] = []
        self._has_ended = False

    def begin(self) -> None:
        """Run up to the first future that is not done yet."""
        self._running.add(self)
        self._step()

    def _step(self, done: object = None) -> None:
        try:
            awaited = self._coroutine.send(None)
        except StopIteration:
            self._end()
        except (Exception, CancelledError) as error:  # nobody awaits a run
            _log.error("an answer ended early", exc_info=error)
            self._on_fault()
            self._end()
        else:
            awaited._asyncio_future_blocking = False  # as a task says that it waits
            self._awaited = awaited
            awaited.add_done_callback(self._step)

    def _end(self) -> None:
        self._has_ended = True
        self._running.discard(self)
        for callback in self._callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back at the end, or at once where the run has ended."""
        if self._has_ended:
            callback(self)
        else:
            self._callbacks.append(callback)

    def cancel(self, msg: str | None = None) -> None:
        """Cancel what is awaited, as uvicorn does with what outlasts its patience."""
        self._awaited.cancel(msg)
