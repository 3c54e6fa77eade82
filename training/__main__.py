"""The program `vae-lab`, and `python -m training`."""

from collections.abc import Callable

from models.signals import run_command


def main() -> None:
    """Run `vae-lab`."""
    run_command("vae-lab", _load)


def _load() -> Callable[[], None]:
    from training.commands.lab import main

    return main


if __name__ == "__main__":
    main()
