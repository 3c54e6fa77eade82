"""What `vae` and `vae-lab` have in common: a list of commands, `--version`, how a failure reads.

Only the command that is asked for is imported, so that help comes at once. This module imports
typer and the standard library.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NamedTuple

import typer

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


def make_program(
    name: str, about: str, commands: Iterable[Command], asked: str | None
) -> typer.Typer:
    """A program of these commands: the one that is asked for imported, of others their help alone.

    Args:
        name: Its name.
        about: What it does, in a sentence.
        commands: All commands.
        asked: The name of the one to import; None for all.
    """
    program = typer.Typer(
        name=name,
        help=about,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @program.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                is_eager=True,
                callback=lambda is_asked: _print_version(name, is_asked=is_asked),
                help="Print the version and exit.",
            ),
        ] = False,
    ) -> None:
        """The options of the program itself."""

    for command in commands:
        loaded = command.load() if asked in (None, command.name) else _not_asked
        if isinstance(loaded, typer.Typer):
            program.add_typer(loaded, name=command.name, short_help=command.help)
        else:
            program.command(command.name, short_help=command.help)(loaded)
    return program


def _not_asked() -> None:
    """Stands for a command that is not asked for."""


def _print_version(program: str, *, is_asked: bool) -> bool:
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
