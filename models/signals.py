"""SIGINT (Ctrl-C) and SIGTERM in a command: one line, and exit code 128 plus the signal's number.

It imports the standard library only: a command imports it first, and everything else under it.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class Signalled(SystemExit):
    """A signal ends this process; libraries let it pass, as they do any SystemExit."""


def run_command(name: str, load: Callable[[], Callable[[], None]]) -> None:
    """Import and run a command; a signal that it does not handle itself ends it in one line.

    Args:
        name: The command's name, which the line begins with.
        load: Imports the command, and returns it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        code = 128 + number
        if not _is_importing(frame):
            raise Signalled(code)
        # An exception in the middle of an import may be turned into another one; nothing is open.
        with suppress(Exception):
            sys.stdout.flush()
        os.write(2, _line(name, number).encode())
        os._exit(code)

    for number in CAUGHT:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        load()()
    except Signalled as signalled:
        number = int(signalled.code or 0) - 128
        for caught in CAUGHT:  # a second signal must not end the ending in a traceback
            signal.signal(caught, signal.SIG_IGN)
        sys.stderr.write(_line(name, number))
        raise


def use_default_signals() -> None:
    """Handle signals as Python does by default: for a server, which catches them itself."""
    for number, handler in zip(CAUGHT, (signal.default_int_handler, signal.SIG_DFL), strict=True):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _line(name: str, number: int) -> str:
    return f"{name}: {signal.Signals(number).name} ended the command.\n"


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported at this place of the program."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
