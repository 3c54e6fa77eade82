"""What a command prints: on any terminal, in any encoding, whatever a file is named."""

import os
import sys

from rich.console import Console
from rich.text import Text

from models.errors import printable

messages = Console(stderr=True)


def say(text: str, *, head: str = "") -> None:
    """Print a message on standard error, with control characters escaped."""
    lines = "\n".join(map(printable, text.split("\n")))
    messages.print(Text.assemble((head, "red"), lines), soft_wrap=True)


def print_whole(text: str) -> None:
    """Print a result on standard output.

    Raises:
        OSError: It cannot be written: the pipe is closed, or the disk is full.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        _drop_standard_output()
        raise


def _drop_standard_output() -> None:
    """Send what is still buffered nowhere: Python would fail once more when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # standard output is no file
        return
