"""What a command prints: on any terminal, in any encoding, whatever a file is named."""

import os
import sys

from rich.console import Console
from rich.text import Text

from models.errors import printable

messages = Console(stderr=True)


def say(text: str) -> None:
    """Print a message on standard error, with control characters escaped; not if it is quiet."""
    lines = "\n".join(map(printable, text.split("\n")))
    messages.print(Text(lines), soft_wrap=True)


def say_always(text: str) -> None:
    """Print a failure on standard error, with control characters escaped, also under `--quiet`."""
    sys.stderr.write(f"{printable(text)}\n")


def print_whole(content: str | bytes) -> None:
    """Print a result on standard output; bytes as they are.

    Raises:
        OSError: It cannot be written: the pipe is closed, or the disk is full.
    """
    try:
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except OSError as error:
        _drop_standard_output()
        raise OSError(error.errno, error.strerror, "standard output") from error


def _drop_standard_output() -> None:
    """Send what is still buffered nowhere: Python would fail once more when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # standard output is no file
        return
