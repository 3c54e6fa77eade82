"""The command `vae hash-key`."""

import sys
from typing import Annotated

import typer

from vae_client.errors import CallError


def hash_key_command(
    key: Annotated[
        str | None, typer.Option(help="Key; absent: asked for, or read from standard input.")
    ] = None,
) -> None:
    """Hash a key for VAE_API_KEYS_SHA256 or VAE_ADMIN_KEYS_SHA256.

    Examples:

        vae hash-key

        openssl rand -base64 32 | tee key | vae hash-key
    """
    from app.api.keys import hash_key  # imports torch; help needs none

    if key is None and sys.stdin.isatty():
        key = typer.prompt("Key", hide_input=True, err=True)
    key = (sys.stdin.readline() if key is None else key).strip()
    if not key:
        raise CallError("The key is empty. Make one: openssl rand -base64 32 | tee key.")
    typer.echo(hash_key(key))
