"""The command `vae`: its commands, of which the one that is asked for is imported."""

import sys
from collections.abc import Callable
from functools import partial

import typer

from app.operations.summaries import INDEX, SEARCH, SUMMARIES
from models.command_line import (
    FAILED,
    Command,
    asked_command,
    make_program,
    say_failure,
)
from models.files import prepare_streams


def _operation(name: str) -> Callable[..., None]:
    from app.cli.operation_command import make_command
    from app.operations.table import OPERATIONS

    return make_command(OPERATIONS[name])


def _index() -> Callable[..., None]:
    from app.cli.index_command import make_index_command

    return make_index_command()


def _search() -> Callable[..., None]:
    from app.cli.search_command import make_search_command

    return make_search_command()


def _models() -> Callable[..., None]:
    from app.cli.models import models

    return models


def _serve() -> Callable[..., None]:
    from app.cli.serve import serve

    return serve


def _hash_key() -> Callable[..., None]:
    from app.cli.hash_key import hash_key_command

    return hash_key_command


COMMANDS = (
    *(Command(name, summary, partial(_operation, name)) for name, summary in SUMMARIES.items()),
    Command("index", INDEX, _index),
    Command("search", SEARCH, _search),
    Command("models", "List the models: what each is and does, and why one is broken.", _models),
    Command(
        "serve",
        "Serve the models of a repository over HTTP, at http://127.0.0.1:8000 by default.",
        _serve,
    ),
    Command("hash-key", "Hash a key for VAE_API_KEYS_SHA256 or VAE_ADMIN_KEYS_SHA256.", _hash_key),
)


def make_app(asked: str | None = None) -> typer.Typer:
    """The command line; of the commands, the one that is asked for is imported, by default all."""
    return make_program(
        "vae", "Serve trained variational autoencoders, and use them on files.", COMMANDS, asked
    )


def main() -> None:
    """Run `vae`; a failure is one message and exit code 1."""
    prepare_streams()
    try:
        make_app(asked_command(sys.argv[1:]))()
    except Exception as error:
        from app.cli.refusals import FAILURES, message_of

        if not isinstance(error, FAILURES):
            raise
        say_failure(message_of(error))
        raise SystemExit(FAILED) from error
