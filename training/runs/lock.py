"""The lock of a run's folder: one process at a time trains a run.

    runs/<name>/lock.json   the process that trains the run, or the last one that did

The lock is the kernel's (`flock`), not the file: it ends with its process, however that ends, and a
file that is left behind locks nothing. Linux passes it on to NFS and SMB servers.
"""

import errno
import fcntl
import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from training.errors import RunError

LOCK = "lock.json"
_TRIES, _PAUSE_SECONDS = 5, 0.05
"""A look at the lock (`find_trainer`) holds it for a moment."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class RunLock:
    """A context in which one process may train a run; it holds the lock from `acquire` on."""

    def __init__(self, run_dir: Path, console: Console) -> None:
        self._path, self._console = run_dir / LOCK, console
        self._file: int | None = None

    def acquire(self) -> None:
        """Lock the folder, which is made if it is missing; do nothing if it is locked already.

        Raises:
            RunError: Another process trains the run, or the folder cannot be written to.
        """
        if self._file is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        try:
            self._lock(file)
            os.ftruncate(file, 0)
            os.write(file, _describe_process())
        except BaseException as error:
            os.close(file)
            if isinstance(error, OSError):
                raise _unwritable(self._path, error) from error
            raise
        self._file = file

    def _lock(self, file: int) -> None:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not left:
                    raise _locked_error(self._path.parent) from error
                time.sleep(_PAUSE_SECONDS)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                self._console.print(
                    f"Warning: the file system of {self._path.parent} has no locks "
                    f"({error.strerror}). Do not train this run in two processes at once.",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
                return
            else:
                return

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def find_trainer(run_dir: Path) -> str | None:
    """The process that trains a run now, in words; None if there is none."""
    try:
        with (run_dir / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_process(run_dir)
    except OSError:
        return None
    return None


def _describe_process() -> bytes:
    process = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(process).encode() + b"\n"


def _read_process(run_dir: Path) -> str:
    try:
        found = json.loads((run_dir / LOCK).read_bytes())
        return f"process {found['pid']} on {found['host']}, since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is being written
        return "another process"


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"Cannot write {path}: {error.strerror or error}. Make the folder writable, or name "
        "another one with --run-dir."
    )


def _locked_error(run_dir: Path) -> RunError:
    return RunError(
        f"The run in {run_dir} is being trained by {_read_process(run_dir)}. Wait for it, end it, "
        "or train in another folder with --run-dir."
    )
