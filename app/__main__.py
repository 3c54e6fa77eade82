"""The program `vae`, and `python -m app`."""

import sys
from collections.abc import Callable

from models.signals import run_command


def main() -> None:
    """Run `vae`."""
    run_command("vae", _load, is_service=sys.argv[1:2] == ["serve"])


def _load() -> Callable[[], None]:
    from app.cli.commands import main

    return main


if __name__ == "__main__":
    main()
