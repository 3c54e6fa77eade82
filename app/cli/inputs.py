"""Inputs of commands: which files, folders, globs or standard input name pictures and arrays.

In a folder, what is a picture or an array by its first bytes or its suffix is an input; the rest is
left out. A file given by name is always an input.
"""

import io
import os
import shlex
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from app.wire.media_types import NPY, NPZ, PICTURES
from models.errors import printable
from models.files import search
from models.images import is_drawn
from models.images.picture_kinds import picture_kind, why_not_read
from models.images.unread import other_picture
from vae_client.errors import CallError
from vae_client.sources import ReadArrays, Source, array_source

STDIN = "-"
MAX_FILE_BYTES = 2**29
ARRAY_SUFFIXES = (*NPY.suffixes, *NPZ.suffixes)
READ_SUFFIXES = tuple(suffix for entry in (*PICTURES, NPY, NPZ) for suffix in entry.suffixes)
"""Suffixes of what is read, for messages."""
_PICTURE_SUFFIXES = {
    *(suffix for entry in PICTURES for suffix in entry.suffixes),
    *(".jfif", ".jpe", ".apng", ".dib", ".pbm", ".pgm", ".pnm", ".ppm", ".avif", ".heic", ".heif"),
    *(".pam", ".ico", ".jp2", ".jxl", ".psd", ".qoi", ".svg", ".tga", ".pcx", ".exr"),
}
"""Suffixes of pictures, also of forms that are not read: such a file is not left out silently."""
_HEAD_BYTES = 4096


@dataclass
class Inputs:
    """Files to send, and those that are not sent."""

    files: list[Path] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Names and reasons of what a folder or glob holds beside pictures and arrays."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Names and reasons of pictures and arrays that cannot be read."""


def find_inputs(
    texts: Sequence[str], takes: Sequence[str], *, operation: str, output: Path | None
) -> Inputs:
    """The inputs that paths, folders, globs and `-` name; a path that exists is no glob.

    Args:
        texts: What the command line says.
        takes: What the operation takes: "images", "latents".
        operation: Its name, for messages.
        output: The file or folder to be written, which is no input of a folder.

    Raises:
        CallError: A path names no input, or the output would replace an input; says a fix.
    """
    inputs = Inputs()
    for text in texts:
        if not text:
            raise CallError("A file's name is empty. Name a file, or `.` for this folder.")
        before = len(inputs.files) + len(inputs.failed)
        path = Path(os.path.expanduser(text))
        if text == STDIN:
            inputs.files.append(path)
        elif path.is_dir():
            _add_folder(inputs, path, takes, output)
        elif path.is_symlink() or path.exists() or not set(text) & set("*?["):
            _add_named(inputs, text, path, takes, operation)
        else:
            found = [p for p in _matches(text) if output is None or _real(p) != _real(output)]
            _add_all(inputs, found, takes, None)
        if len(inputs.files) + len(inputs.failed) == before:
            raise CallError(_nothing_found(text, path, inputs.left_out))
    _check_not_replaced(inputs.files, output)
    return inputs


def _matches(pattern: str) -> list[Path]:
    path = Path(os.path.expanduser(pattern))
    anchor = Path(path.anchor) if path.is_absolute() else Path()
    relative = str(path.relative_to(path.anchor) if path.is_absolute() else path)
    try:
        found = anchor.glob(relative)
        return sorted(p for p in found if not p.name.startswith(".") and not p.is_dir())
    except (ValueError, NotImplementedError, IndexError):
        return []


def _add_folder(inputs: Inputs, root: Path, takes: Sequence[str], output: Path | None) -> None:
    found, target = search(root), None if output is None else _real(output)
    if target in (_real(root), *_real(root).parents):
        target = None  # the output lies around the inputs, not among them
    inputs.left_out += [(printable(str(path)), reason) for path, reason in found.left_out]
    inputs.failed += [(printable(str(path)), f"{reason}.") for path, reason in found.unreadable]
    _add_all(inputs, found.files, takes, target)


def _add_all(
    inputs: Inputs, paths: Sequence[Path], takes: Sequence[str], output: Path | None
) -> None:
    """Add files that nobody named: those that are inputs, and not the output."""
    for path in paths:
        if output is not None and output in (_real(path), *_real(path).parents):
            inputs.left_out.append((printable(str(path)), "the output"))
            continue
        suffix = path.suffix.lower()
        meant = suffix in ARRAY_SUFFIXES or suffix in _PICTURE_SUFFIXES
        kind, fault = _look(path)
        if fault:
            lost = meant or kind == "unknown"
            (inputs.failed if lost else inputs.left_out).append((printable(str(path)), fault))
        elif kind == "picture":
            if "images" in takes:
                inputs.files.append(path)
            else:
                inputs.left_out.append((printable(str(path)), "a picture, not latents"))
        elif kind == "array":
            inputs.files.append(path)
        elif kind == "drawn":
            inputs.left_out.append((printable(str(path)), "drawn by vae or vae-lab"))
        else:
            inputs.left_out.append((printable(str(path)), "not a picture or array"))


def _real(path: Path) -> Path:
    """A path without links; a circle of links is left as it is."""
    return Path(os.path.realpath(path))


def _add_named(inputs: Inputs, text: str, path: Path, takes: Sequence[str], operation: str) -> None:
    if not path.is_symlink() and not path.exists():
        return
    name = printable(text)
    kind, fault = _look(path)
    if fault:
        inputs.failed.append((name, fault))
        return
    if kind == "other":
        inputs.failed.append((name, f"not a picture or array. Read are: {_read()}."))
    elif "images" not in takes and kind != "array":
        raise CallError(
            f"{operation} takes latents (.npy, .npz), and {name} is a picture. Encode it first: "
            f"vae encode {name} -o latents.npy."
        )
    else:
        inputs.files.append(path)


def _look(path: Path) -> tuple[str, str]:
    """What a file is by its first bytes ("picture", "drawn", "array", ...), and its fault.

    Nothing that could block, such as a pipe, is opened.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "other", "not a regular file (a pipe, socket or device)."
        if found.st_size == 0:
            return "other", "an empty file (0 bytes)."
        if found.st_size > MAX_FILE_BYTES and path.suffix.lower() not in ARRAY_SUFFIXES:
            return "other", f"larger than {MAX_FILE_BYTES:,} bytes."
        with path.open("rb") as file:
            return _kind_of(file.read(_HEAD_BYTES), path.suffix.lower())
    except FileNotFoundError:
        return "other", "a link to nothing." if path.is_symlink() else "no longer there."
    except OSError as error:
        return "unknown", f"{error.strerror}. Check the file and its permissions."


def _kind_of(head: bytes, suffix: str) -> tuple[str, str]:
    """What a file is, and the fault of one that is not what its suffix says."""
    if suffix in ARRAY_SUFFIXES or head.startswith(b"\x93NUMPY"):
        return "array", ""
    if picture_kind(head) is not None:
        return "drawn" if is_drawn(head) else "picture", ""
    if suffix not in _PICTURE_SUFFIXES and other_picture(head) is None:
        return "other", ""
    return "other", why_not_read(head)


def _check_not_replaced(files: Sequence[Path], output: Path | None) -> None:
    """Refuse an output that is one of the inputs, or a folder of them."""
    if output is None:
        return
    target = os.path.realpath(output)
    for path in files:
        place = os.path.realpath(path)
        if str(path) != STDIN and target in (place, os.path.dirname(place)):
            other = output.with_name(f"{output.stem}-out{output.suffix}")
            raise CallError(
                f"--out {output} would replace the input {printable(str(path))}. Write elsewhere: "
                f"--out {shlex.quote(str(other))}"
            )


def _read() -> str:
    return ", ".join(READ_SUFFIXES)


def _nothing_found(text: str, path: Path, left_out: Sequence[tuple[str, str]]) -> str:
    """Why a path, folder or glob gives no input."""
    name = printable(text)
    if path.is_dir():
        seen = "; ".join(f"{file}: {reason}" for file, reason in left_out[:3])
        others = f" ({seen})" if seen else ""
        return (
            f"The folder '{name}' holds no picture or array{others}. Read are: {_read()}. Name "
            "another folder."
        )
    if set(text) & set("*?["):
        return f"No picture or array matches '{name}'. Read are: {_read()}. Check the path."
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = get_close_matches(path.name, beside, n=1)
    hint = f"Did you mean '{printable(str(path.with_name(meant[0])))}'?" if meant else ""
    return f"There is no file '{name}'. {hint or 'Check the path.'}"


# As sources


def open_inputs(
    inputs: Inputs,
    operation: str,
    takes: Sequence[str],
    read: Callable[[str], ReadArrays],
    *,
    strict: bool,
) -> list[Source]:
    """The inputs as sources, neighbouring pictures together; arrays that cannot be read are failed.

    Args:
        inputs: What `find_inputs` found.
        operation: The operation's name, for messages.
        takes: What its body may hold.
        read: From a file's name, how its arrays are read.
        strict: Whether to raise for an array that cannot be read.

    Raises:
        CallError: With `strict`.
    """
    sources: list[Source] = []
    labels: list[str] = []
    pictures: list[Path | bytes] = []
    names = unique_names([printable(str(path)) for path in inputs.files])

    def add_pictures() -> None:
        if pictures:
            sources.append(Source(tuple(labels), tuple(pictures)))
            labels.clear()
            pictures.clear()

    for path, name in zip(inputs.files, names, strict=True):
        content = _stdin() if str(path) == STDIN else path
        if not _is_array(content):
            labels.append(name)
            pictures.append(content)
            continue
        add_pictures()
        try:
            place = io.BytesIO(content) if isinstance(content, bytes) else content
            sources.append(array_source(place, name, operation, takes, read(name)))
        except CallError as error:
            if strict:
                raise
            inputs.failed.append((name, str(error)))
    add_pictures()
    return sources


def unique_names(names: Sequence[str]) -> list[str]:
    """Names in which those that occur again get a number: a.png, a.png#2."""
    taken: set[str] = set()
    unique = []
    for name in names:
        number, one = 1, name
        while one in taken:
            number += 1
            one = f"{name}#{number}"
        taken.add(one)
        unique.append(one)
    return unique


def _is_array(content: Path | bytes) -> bool:
    if isinstance(content, Path):
        return content.suffix.lower() in ARRAY_SUFFIXES or _look(content)[0] == "array"
    return content.startswith((b"\x93NUMPY", b"PK\x03\x04"))


def _stdin() -> bytes:
    """Standard input, whole.

    Raises:
        CallError: It is a terminal, empty or too long.
    """
    if sys.stdin.isatty():
        raise CallError(
            "`-` reads standard input, which is a terminal. Pipe a file: vae encode - < a.png"
        )
    content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise CallError(f"Standard input is longer than {MAX_FILE_BYTES:,} bytes. Name a file.")
    if not content:
        raise CallError("Standard input is empty. Pipe a file: vae encode - < a.png")
    return content
