"""Files of the user: folders searched, names made printable, files written whole or refused.

Training and the commands share them, so both find the same pictures in a folder.
"""

import errno
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import ConfigError, printable

_SYSTEM_FOLDERS = (
    *("__MACOSX", "__pycache__", "@eaDir", "#recycle"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found"),
)
_OWN = "the folder of a"
_OWN_FILES = (
    *("recipe.toml", "starts.jsonl", "state.json"),
    *("manifest.json", "model.safetensors", "index.json"),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Found:
    """What a search of a folder found."""

    files: list[Path] = field(default_factory=list)
    """Everything that is no folder and not hidden, sorted: pipes and links to nothing too."""
    folders: list[Path] = field(default_factory=list)
    """Folders that were looked into, the root first, but those around one of this project's."""
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    """Hidden files, and folders that are not looked into, with the reason."""
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """Folders that could not be opened, with the reason."""


def search(root: Path) -> Found:
    """Search a folder to the bottom.

    Hidden files are left out, and folders that are hidden, linked (they may lead in circles), the
    system's, or a run's or a bundle's of this project.
    """
    found = Found()
    own: set[Path] = set()

    def unreadable(error: OSError) -> None:
        found.unreadable.append((Path(error.filename), str(error.strerror)))

    for place, folders, files in os.walk(root, onerror=unreadable):
        here = Path(place)
        for name in sorted(folders):
            if reason := _why_left_out(here / name):
                folders.remove(name)
                found.left_out.append((here / name, reason))
                if reason.startswith(_OWN):
                    own.update((here / name).parents)
        folders.sort()
        found.folders.append(here)
        for name in sorted(files):
            if name.startswith("."):
                found.left_out.append((here / name, "hidden file"))
            else:
                found.files.append(here / name)
    found.files.sort()
    found.folders = [folder for folder in found.folders if folder not in own]
    return found


def _why_left_out(folder: Path) -> str:
    if folder.name.startswith("."):
        return "hidden folder"
    if folder.name in _SYSTEM_FOLDERS:
        return "a folder of the system, not of pictures"
    return "linked folder" if folder.is_symlink() else own_folder(folder)


def own_folder(folder: Path) -> str:
    """What a folder that this project wrote is; empty for every other folder."""
    holds = {name for name in _OWN_FILES if os.path.isfile(folder / name)}  # False without rights
    if "recipe.toml" in holds and holds & {"starts.jsonl", "state.json"}:
        return f"{_OWN} run"
    if {"manifest.json", "model.safetensors"} <= holds:
        return f"{_OWN} model"
    if "index.json" in holds and any(folder.glob("embeddings-*.npy")):
        return f"{_OWN} search index"
    return ""


def prepare_streams() -> None:
    """Let standard output and error escape the characters that the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file completely or not at all; what it held before stays until then.

    Raises:
        OSError: It cannot be written, as where the disk is full; names this path.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe
            path.write_bytes(data)
            return
        target = Path(os.path.realpath(path))  # a link stays a link
        partial = target.with_name(f".{secrets.token_hex(8)}.partial")
        try:
            partial.write_bytes(data)
            if target.exists():
                shutil.copymode(target, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place when the block ends; after an error nothing is left.

    Two processes may make the same folder: each fills one of its own, and one is renamed.

    Args:
        path: The folder's place; must not exist.

    Raises:
        FileExistsError: It exists.
        OSError: It cannot be written, as where the disk is full; names this path.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "It exists", str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        partial.rename(path)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            raise FileExistsError(errno.EEXIST, "It exists", str(path)) from error
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_place(path: Path, *, flag: str, is_folder: bool = False) -> None:
    """Check that a file, or a folder with its parents, can be written, before it is computed.

    Args:
        path: The file or folder.
        flag: The option that named it.
        is_folder: Whether it is a folder, whose missing parents are made.

    Raises:
        ConfigError: Its folder is missing or is a file, or nothing can be written there.
    """
    if path.is_dir() and not is_folder:
        raise _fault(flag, path, "it is a folder. Name a file in it", path / f"{path.name}.out")
    candidates = [path, *path.parents] if is_folder else [*path.parents]
    nearest = next(place for place in (*candidates, Path()) if place.exists())
    if not nearest.is_dir():
        other = Path(f"{nearest}-2") if nearest == path else nearest.parent / path.name
        raise _fault(flag, path, f"{nearest} is a file, not a folder. Use another one", other)
    if not is_folder and nearest != path.parent:
        raise ConfigError(
            f"{flag} {path}: there is no folder {path.parent}. Make it first: mkdir -p "
            f"{shlex.quote(str(path.parent))}",
            parameter=flag,
            received=str(path),
        )
    if not is_folder and path.exists() and not os.access(path, os.W_OK):
        raise _fault(
            flag,
            path,
            "the file is write-protected. Use another one",
            path.with_stem(f"{path.stem}-2"),
        )
    if not is_folder and path.exists() and not path.is_file():
        return  # a device or a pipe
    try:
        probe = nearest / f".{secrets.token_hex(8)}.partial"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        fault = f"{nearest} cannot be written ({error.strerror}). Write elsewhere"
        home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
        raise _fault(flag, path, fault, home / path.name) from error


def check_new(path: Path, *, flag: str) -> None:
    """Refuse a folder to write that is there already.

    Raises:
        ConfigError: It exists.
    """
    if path.exists():
        raise _fault(
            flag,
            path,
            "it exists, and nothing is overwritten. Write to a new folder",
            path.with_name(f"{path.name}-2"),
        )


def _fault(flag: str, path: Path, fault: str, better: Path) -> ConfigError:
    fix = f"{flag} {shlex.quote(str(better))}"
    return ConfigError(
        f"{flag} {path}: {fault}: {fix}", parameter=flag, received=str(path), suggestion=fix
    )


def explain_os_error(error: OSError) -> str:
    """A failure of the operating system in words, with a fix."""
    place = "A write failed" if error.filename is None else printable(os.fsdecode(error.filename))
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        return f"{place}: {reason}; no file is half written. Free space, or write to another disk."
    return f"{place}: {reason}. Check the path and its permissions."
