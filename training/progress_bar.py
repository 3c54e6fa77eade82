"""The progress bar of everything that takes a while: loading, training, evaluating."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


class ProgressBar(Progress):
    """A description, a bar, columns of the caller's, and the time that is left."""

    def __init__(
        self, *columns: ProgressColumn, console: Console | None, transient: bool = False
    ) -> None:
        """Make an empty bar.

        Args:
            columns: What stands between the bar and the time that is left.
            console: Where the bar is shown; nowhere if None.
            transient: Remove the bar when it is full.
        """
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            *columns,
            TimeRemainingColumn(),
            console=console or Console(quiet=True),
            disable=console is None,
            transient=transient,
        )
