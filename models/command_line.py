"""What `vae` and `vae-lab` have in common: a list of commands, `--version`, how a failure reads.

Only the command that is asked for is imported, so that help comes at once. This module imports the
standard library only.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

FAILED = 1
"""Exit code of a command that was refused or failed; a wrong command line is 2."""


class Command(NamedTuple):
    """A command before it is imported."""

    name: str
    help: str
    """The first sentence of its help, as the list of commands has it."""
    load: Callable[[], Any]
    """Imports and returns it: a function, or what holds further commands."""


def asked_command(arguments: Sequence[str]) -> str | None:
    """The command that a command line names; "" where it names none.

    Returns None while a shell completes a command line, which may need any command.
    """
    if any(name.startswith("_VAE") and name.endswith("_COMPLETE") for name in os.environ):
        return None
    return next((word for word in arguments if not word.startswith("-")), "")


def add_commands(
    commands: Iterable[Command], asked: str | None, add: Callable[[Command, Any], None]
) -> None:
    """Add each command, the one that is asked for imported, and of others their help alone.

    Args:
        commands: All commands.
        asked: The name of the one to import; None for all.
        add: Adds a command and what `Command.load` returns.
    """
    for command in commands:
        add(command, command.load() if asked in (None, command.name) else _not_asked)


def _not_asked() -> None:
    """Stands for a command that is not asked for."""


def print_version(program: str, *, is_asked: bool) -> bool:
    """Print the version of a program and end, if that is asked for; else return what was asked."""
    if not is_asked:
        return is_asked
    from models import __version__

    sys.stdout.write(f"{program} {__version__}\n")
    raise SystemExit(0)


def say_failure(message: str) -> None:
    """Print why a command failed on standard error; the first word is red on a terminal."""
    from models.errors import printable

    head = "\x1b[31mError:\x1b[0m" if _is_coloured() else "Error:"
    lines = "\n".join(map(printable, message.split("\n")))
    sys.stderr.write(f"{head} {lines}\n")


def _is_coloured() -> bool:
    """Whether standard error is a terminal that shows colours."""
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
