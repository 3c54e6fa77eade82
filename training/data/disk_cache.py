"""A folder of what is costly to compute: entries that are whole or absent, the oldest going first.

    <name>.vae-cache                    an entry, an `ArrayFile`; its time is that of its last use
    <name>.<random>.vae-cache-partial   an entry that a process writes, which holds a lock on it

An entry is written beside its place, synced, and renamed: a reader sees all of it or none, whoever
is killed, and of two writers at once the last one's stays. Where the folder cannot be read or
written, entries are absent and the console says why, once.
"""

import errno
import fcntl
import math
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import platformdirs
from rich.console import Console

from models.errors import ConfigError
from training.data.array_file import ArrayFile, Form, make_header, open_arrays

FOLDER_VARIABLE = "VAE_CACHE_DIR"
LIMIT_VARIABLE = "VAE_CACHE_GB"
DEFAULT_LIMIT_GB = 10.0
GB = 10**9

_SUFFIX, _PARTIAL = ".vae-cache", ".vae-cache-partial"
_STALE_SECONDS = 86_400
_NOT_RESERVED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""Of file systems that cannot reserve space."""


@dataclass(frozen=True)
class Stored:
    """An entry as a list shows it."""

    path: Path
    num_bytes: int
    used_at: float
    """Time of the last use, in seconds since 1970."""

    def about(self) -> Mapping[str, str]:
        """What it says about its arrays; empty where it is not whole or is gone."""
        try:
            return open_arrays(self.path).about
        except (OSError, ValueError):
            return {}


@dataclass
class DiskCache:
    """A folder of entries by name."""

    folder: Path
    limit: int
    """Largest size of all entries together, in bytes; 0 keeps none."""
    console: Console | None = None
    """Where it says that nothing can be kept; nowhere if None."""
    _is_writable: bool = field(default=True, init=False)
    _said_gigabytes: int = field(default=0, init=False)

    def find(self, name: str) -> ArrayFile | None:
        """The entry of that name, memory-mapped; None where there is no whole one."""
        path = self._path(name)
        if self.limit == 0:
            return None
        try:
            found = open_arrays(path)
        except (OSError, ValueError):
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(path)
        return found

    def write(
        self,
        name: str,
        forms: Mapping[str, Form],
        parts: Iterable[bytes | np.ndarray],
        *,
        about: Mapping[str, str],
        together: int = 0,
    ) -> ArrayFile | None:
        """Write an entry in place of any other of that name, and map it.

        Args:
            name: The entry's name.
            forms: Types and shapes of its arrays.
            parts: Their bytes, in the same order.
            about: Words about them.
            together: Bytes of this entry and of those that are used with it.

        Returns:
            The entry; None if it cannot be written, and then not all of `parts` was taken.
        """
        if self.limit == 0 or not self._is_writable:
            return None
        header = make_header(forms, about)
        size = len(header) + sum(form.num_bytes for form in forms.values())
        try:
            if max(size, together) > self.limit:
                self._say_room(size, max(size, together))
            if size > self.limit:
                return None
            self._make_room(size, beside=self._path(name))
            return self._write(name, header, parts, size)
        except OSError as error:
            self.give_up(f"{error.strerror or error}")
            return None

    def scratch(self, size: int) -> BinaryIO | None:
        """A file of so many bytes that has no name, and is gone when it is closed.

        Returns:
            The file; None where nothing can be kept, or not as much again.
        """
        if 2 * size > self.limit or not self._is_writable:
            return None
        try:
            self._make_room(size)
            file: BinaryIO = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - the caller's
        except OSError:  # the first entry says why
            return None
        try:
            _reserve(file, size)
        except OSError:
            file.close()
            return None
        return file

    def _say_room(self, size: int, together: int) -> None:
        """Say that the limit is too low for a set, and which is not."""
        gigabytes = math.ceil(1.05 * together / GB)  # what is known of the files takes some, too
        if gigabytes <= self._said_gigabytes:
            return
        self._said_gigabytes = gigabytes
        why = (
            "it holds some splits in memory" if size > self.limit else "splits displace each other"
        )
        self._warn(
            f"The cache may have {self.limit / GB:g} GB, and this data set needs "
            f"{together / GB:.3g} GB: {why}, and each command decodes pictures again. Give it "
            f"room: export {LIMIT_VARIABLE}={gigabytes}"
        )

    def give_up(self, reason: str) -> None:
        """Write nothing from now on, and say why."""
        self._is_writable = False
        self._warn(
            f"The cache {self.folder} cannot keep the pictures: {reason}. Each command decodes "
            f"them again. Name another folder with {FOLDER_VARIABLE}."
        )

    def _warn(self, words: str) -> None:
        if self.console is not None:
            self.console.print(f"Warning: {words}", soft_wrap=True, markup=False, highlight=False)

    def entries(self) -> list[Stored]:
        """Every entry, the oldest first.

        Raises:
            OSError: The folder cannot be read.
        """
        return sorted(self._entries(), key=lambda one: one.used_at)

    def clear(self) -> None:
        """Delete every entry, and what killed writers left.

        Raises:
            OSError: The folder cannot be written.
        """
        for entry in self._entries():
            entry.path.unlink(missing_ok=True)
        self._remove_stale()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _entries(self) -> Iterator[Stored]:
        for path in self._files(_SUFFIX):
            with suppress(FileNotFoundError):  # another process deleted it
                status = path.stat()
                yield Stored(path, status.st_size, status.st_mtime)

    def _files(self, suffix: str) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.suffix == suffix]
        except FileNotFoundError:
            return []

    def _make_room(self, size: int, *, beside: Path | None = None) -> None:
        """Delete what killed writers left, and the oldest entries, until another one fits."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_stale()
        others = [entry for entry in self.entries() if entry.path != beside]
        total = size + sum(entry.num_bytes for entry in others)
        for entry in others:
            if total <= self.limit:
                return
            entry.path.unlink(missing_ok=True)
            total -= entry.num_bytes

    def _write(
        self, name: str, header: bytes, parts: Iterable[bytes | np.ndarray], size: int
    ) -> ArrayFile:
        with self._partial(name) as (file, partial):
            _reserve(file, size)
            file.write(header)
            for part in parts:
                file.write(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
            file.flush()
            os.fsync(file.fileno())
            written = open_arrays(partial)
            partial.replace(self._path(name))
        return written

    @contextmanager
    def _partial(self, name: str) -> Iterator[tuple[BinaryIO, Path]]:
        """A new file under a lock of this process; it is gone at the end unless it was renamed."""
        while True:
            path = self.folder / f"{name}.{secrets.token_hex(8)}{_PARTIAL}"
            with path.open("xb") as file:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:  # taken for a stale one before the lock
                    continue
                try:
                    yield file, path
                finally:
                    path.unlink(missing_ok=True)
                return

    def _remove_stale(self) -> None:
        """Delete partial files that no process holds a lock on: their writers were killed."""
        for path in self._files(_PARTIAL):
            with suppress(FileNotFoundError), path.open("r+b") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                except OSError:  # a file system without locks
                    if time.time() - path.stat().st_mtime < _STALE_SECONDS:
                        continue
                path.unlink()


def open_cache(console: Console | None = None) -> DiskCache:
    """The cache that `VAE_CACHE_DIR` and `VAE_CACHE_GB` describe, else the user's own.

    Args:
        console: Where it says, once, that nothing can be kept; nowhere by default.

    Raises:
        ConfigError: `VAE_CACHE_GB` is no number from 0 on.
    """
    given = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB)
    try:
        limit = float(given)
        if not 0 <= limit < float("inf"):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{LIMIT_VARIABLE}={given} is no number of gigabytes from 0 on. Set "
            f"{LIMIT_VARIABLE}={DEFAULT_LIMIT_GB:g}.",
            parameter=LIMIT_VARIABLE,
            received=given,
            suggestion=f"{LIMIT_VARIABLE}={DEFAULT_LIMIT_GB:g}",
        ) from None
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(os.path.expanduser(named or platformdirs.user_cache_path("vae-lab")))
    cache = DiskCache(folder, int(limit * GB), console)
    if not named and not folder.is_absolute():
        cache.give_up("this user has no home folder")
    return cache


def _reserve(file: BinaryIO, size: int) -> None:
    """Take the whole space at once: a full disk is found out before any picture is decoded."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _NOT_RESERVED:
                raise
