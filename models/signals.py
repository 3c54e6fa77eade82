"""SIGINT (Ctrl-C) and SIGTERM in a command: one line, and exit code 128 plus the signal's number.

It imports the standard library only: a command imports it first, and everything else under it.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM)
PATIENCE_SECONDS = 2.0
"""How long a command may close what it has opened."""


class Signalled(SystemExit):
    """A signal ends this process; libraries let it pass, as they do any SystemExit."""


def run_command(
    name: str, load: Callable[[], Callable[[], None]], *, is_service: bool = False
) -> None:
    """Import and run a command; a signal that it does not handle itself ends it in one line.

    Args:
        name: The command's name, which the line begins with.
        load: Imports the command, and returns it.
        is_service: The command serves until a signal: one that comes before ends it at once, with
            status 0 and no line.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if is_service:
            os._exit(0)
        stop = Timer(PATIENCE_SECONDS, _end_now, (name, number))
        if _is_importing(frame):  # which may turn an exception into another one; nothing is open
            _end_now(name, number)
        stop.daemon = True
        stop.start()
        raise Signalled(128 + number)

    for number in CAUGHT:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        load()()
    except Signalled as signalled:
        for caught in CAUGHT:  # a second signal ends the process at once
            signal.signal(caught, signal.SIG_DFL)
        _end_now(name, int(signalled.code or 0) - 128)


def _end_now(name: str, number: int) -> None:
    """Write the line and leave: threads that still compute would hold up the interpreter."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os.write(2, f"{name}: {signal.Signals(number).name} ended the command.\n".encode())
    os._exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported at this place of the program."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
