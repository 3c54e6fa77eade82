"""Where tables of many columns are printed."""

from rich.console import Console

_PIPED_WIDTH = 240


def wide_console() -> Console:
    """As wide as the window; into a file or a pipe so wide that no number is cut off."""
    console = Console()
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console
