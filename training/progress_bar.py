"""The progress bar of everything that takes a while: loading, training, evaluating, drawing.

A terminal shows a bar that fits the window; a file or a pipe gets a plain line now and then.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event, Thread

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

LINE_SECONDS = 30.0
"""Time between two plain lines."""
_NAME_WIDTH = 20
_BAR_WIDTH = 10
_TIME_WIDTH = 10

Words = Callable[[Task], Sequence[str]]
"""What is said of a task, the most important first."""


class ProgressBar(Progress):
    """A description, a bar, words on the task, and the time that is left."""

    def __init__(
        self,
        words: Words | None = None,
        *,
        console: Console | None,
        transient: bool = False,
        line_seconds: float | None = None,
    ) -> None:
        """Make an empty bar.

        Args:
            words: What stands between the bar and the time that is left, as far as there is room;
                how many are done of how many by default.
            console: Where the bar is shown; nowhere if None.
            transient: Remove the bar when it is full.
            line_seconds: Time without a plain line after which one is written; `LINE_SECONDS` by
                default.
        """
        self._words = words or count_words
        self._plain = console is not None and not console.is_interactive
        self._line_seconds = LINE_SECONDS if line_seconds is None else line_seconds
        self._last_line = 0.0
        self._stopped = Event()
        self._thread: Thread | None = None
        name = Column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
        super().__init__(
            TextColumn("{task.description}", table_column=name),
            BarColumn(bar_width=_BAR_WIDTH),
            _WordsThatFit(self._words, console),
            TimeRemainingColumn(),
            console=console or Console(quiet=True),
            disable=console is None or self._plain,
            transient=transient,
        )

    def start(self) -> None:
        """Show the bar, or begin to write lines."""
        super().start()
        if self._plain and self._thread is None:
            self._thread = Thread(target=self._write_lines, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Leave the bar as it is, or end the lines."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        super().stop()

    def write_line(self, task: Task, words: Sequence[str]) -> None:
        """Write a task and these words as a plain line, where there is no bar."""
        if self._plain:
            self._last_line = time.monotonic()
            line = plain_line(task, words)
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _write_lines(self) -> None:
        while not self._stopped.wait(self._line_seconds):
            if time.monotonic() - self._last_line < self._line_seconds:
                continue
            for task in self.tasks:
                if not task.finished:
                    self.write_line(task, self._words(task))


class _WordsThatFit(ProgressColumn):
    """As many of a task's words as leave the line within the window."""

    def __init__(self, words: Words, console: Console | None) -> None:
        super().__init__(table_column=Column(no_wrap=True, overflow="ellipsis"))
        self._words, self._console = words, console

    def render(self, task: Task) -> Text:
        """The words, joined by blanks."""
        width = 0 if self._console is None else self._console.width
        name = min(_NAME_WIDTH, len(task.description))
        room = width - name - _BAR_WIDTH - _TIME_WIDTH - 3
        first, *others = self._words(task) or [""]
        for word in others:
            if len(first) + 1 + len(word) <= room:
                first = f"{first} {word}"
        return Text(first)


def count_words(task: Task) -> list[str]:
    """How many are done, of how many."""
    if task.total is None:
        return [str(timedelta(seconds=int(task.elapsed or 0)))]
    return [f"{task.completed:,.0f}/{task.total:,.0f}"]


def plain_line(task: Task, words: Sequence[str]) -> str:
    """A task in one line: its words, the share that is done, and the time that is left."""
    parts = [*words]
    if task.total:
        parts.append(f"{task.percentage:.0f} %")
    if task.time_remaining is not None:
        parts.append(f"{timedelta(seconds=int(task.time_remaining))} left")
    return f"{task.description}: {', '.join(parts)}"
