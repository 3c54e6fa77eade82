"""A signal ends a command in one line, whatever the command is doing."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models import signals
from models.signals import run_command

ROOT = Path(__file__).resolve().parents[2]


class Left(BaseException):
    """Raised in place of leaving the process."""


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Python's own handlers: a process in the background of a shell ignores SIGINT, and so would
    # the processes that it starts.
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, usual[number]) for number in signals.CAUGHT}

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(signals.os, "_exit", leave)
    timers: list[threading.Timer] = []

    def note(*arguments: Any) -> threading.Timer:
        timers.append(threading.Timer(*arguments))
        return timers[-1]

    monkeypatch.setattr(signals, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(signals, "Timer", note)
    yield
    for timer in timers:  # one that is left would end the process of all tests
        timer.cancel()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", signals.CAUGHT)
def test_a_signal_ends_a_running_command_after_its_own_clean_up(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = []

    def command() -> None:
        try:
            signal.raise_signal(number)
        except Exception:  # pragma: no cover, what libraries do
            closed.append("swallowed")
        finally:
            closed.append("closed")

    with pytest.raises(Left, match=str(128 + number)):
        run_command("vae", lambda: command)
    assert closed == ["closed"]
    assert capfd.readouterr().err == f"vae: {number.name} ended the command.\n"
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_signal_during_an_import_leaves_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\n"
        "except SystemExit:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def load() -> Callable[[], None]:
        __import__("slow_module")
        raise AssertionError("the import went on")

    with pytest.raises(Left, match="130"):
        run_command("vae-lab", load)
    assert capfd.readouterr().err == "vae-lab: SIGINT ended the command.\n"


def test_a_command_that_no_signal_reaches_ends_as_it_does() -> None:
    ran = []
    run_command("vae", lambda: lambda: ran.append("ran"))
    with pytest.raises(SystemExit, match="2"):
        run_command("vae", lambda: lambda: sys.exit(2))
    assert ran == ["ran"]


def test_an_ignored_signal_stays_ignored() -> None:
    for number in signals.CAUGHT:
        signal.signal(number, signal.SIG_IGN)
    run_command("vae", lambda: lambda: None)
    assert [signal.getsignal(number) for number in signals.CAUGHT] == [signal.SIG_IGN] * 2


@pytest.mark.parametrize("number", signals.CAUGHT)
def test_a_signal_before_a_service_serves_is_no_failure(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Left, match="0"):
        run_command("vae", lambda: lambda: signal.raise_signal(number), is_service=True)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["app", "training"])
@pytest.mark.parametrize("number", signals.CAUGHT)
def test_a_command_that_still_imports_ends_in_one_line(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    name = {"app": "vae", "training": "vae-lab"}[module]
    slow_import = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n"
    (tmp_path / "typer.py").write_text(slow_import, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'client'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (
        128 + number,
        f"{name}: {number.name} ended the command.\n",
    )
