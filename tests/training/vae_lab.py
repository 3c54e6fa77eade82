"""`vae-lab` as typed, in this process."""

import pytest

from training.commands.lab import main


def exit_code(*arguments: str) -> int:
    """Run the command; its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)
