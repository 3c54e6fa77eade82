"""One process trains a run: who holds its folder is named, and the dead hold nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from training.errors import RunError
from training.runs import lock as module
from training.runs.lock import LOCK, RunLock, find_trainer

HOLDER = """
import sys, time
from pathlib import Path
from rich.console import Console
from training.runs.lock import RunLock
with RunLock(Path(sys.argv[1]), Console(quiet=True)) as lock:
    lock.acquire()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, quiet=False)


def test_a_second_holder_is_refused_with_the_name_of_the_first(
    tmp_path: Path, console: Console
) -> None:
    with RunLock(tmp_path / "run", console) as first:
        assert find_trainer(tmp_path / "run") is None
        first.acquire()
        first.acquire()
        held = find_trainer(tmp_path / "run")
        assert held is not None
        assert held.startswith(f"process {os.getpid()} on ")
        with (
            RunLock(tmp_path / "run", console) as second,
            pytest.raises(RunError, match=rf"trained by process {os.getpid()} on .*--run-dir"),
        ):
            second.acquire()
    assert find_trainer(tmp_path / "run") is None
    with RunLock(tmp_path / "run", console) as third:
        third.acquire()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_free(
    number: signal.Signals, tmp_path: Path, console: Console
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert f"process {process.pid} on" in str(find_trainer(tmp_path))
        process.send_signal(number)
        process.wait(timeout=30)
    assert json.loads((tmp_path / LOCK).read_text())["pid"] == process.pid
    assert find_trainer(tmp_path) is None
    with RunLock(tmp_path, console) as lock:
        lock.acquire()
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_a_holder_that_is_still_writing_its_name_is_another_process(
    tmp_path: Path, console: Console
) -> None:
    with RunLock(tmp_path, console) as lock:
        lock.acquire()
        (tmp_path / LOCK).write_text("")
        assert find_trainer(tmp_path) == "another process"


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", none)
    with RunLock(tmp_path, console) as lock:
        lock.acquire()
    assert "has no locks (No locks available)" in console.export_text()
    assert find_trainer(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with (
        RunLock(tmp_path / "file" / "run", console) as lock,
        pytest.raises(RunError, match=r"Cannot write .*lock\.json: Not a directory.*--run-dir"),
    ):
        lock.acquire()

    def broken(file: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.fcntl, "flock", broken)
    with (
        RunLock(tmp_path / "run", console) as lock,
        pytest.raises(RunError, match="Input/output error"),
    ):
        lock.acquire()
