"""Pictures and arrays on disk, as bodies of requests."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from vae_client.errors import CallError

MEDIA_TYPE_OF_SUFFIX = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
ARRAY_SUFFIXES = (".npy", ".npz")
NPZ_TYPE = "application/x-npz"

AsBatch = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Source:
    """Items that can share a request: picture files, or the rows of one array."""

    labels: tuple[str, ...]
    files: tuple[Path, ...] = ()
    array: np.ndarray | None = None
    kind: str = "images"

    def request(self, part: slice) -> dict[str, Any]:
        """Arguments of httpx that send some of the items."""
        if self.array is not None:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **{self.kind: self.array[part]})
            return {
                "content": buffer.getvalue(),
                "headers": {"Content-Type": NPZ_TYPE},
            }
        return {
            "files": [
                (
                    "images",
                    (path.name, path.read_bytes(), MEDIA_TYPE_OF_SUFFIX[path.suffix.lower()]),
                )
                for path in self.files[part]
            ]
        }

    def defaults(self) -> dict[str, str]:
        """Parameters that follow from the whole array, where a part of it might say otherwise."""
        if self.array is None or self.kind != "images" or self.array.dtype.kind not in "ui":
            return {}
        return {} if self.array.max(initial=0) == 1 else {"pixel_max": "255"}


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths, folders and globs name; folders are searched to the bottom.

    Raises:
        CallError: A path names no file that is read; says why.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if is_readable(p))
        elif any(letter in text for letter in "*?["):
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(path.anchor) if path.is_absolute() else path)
            matches = sorted(p for p in anchor.glob(pattern) if is_readable(p))
        else:
            matches = [path] if is_readable(path) else []
        if not matches:
            raise CallError(_nothing_found(text, path))
        found += matches
    return found


def _nothing_found(text: str, path: Path) -> str:
    """Why a path, folder or glob gives no file that is read."""
    read = f"Read are: {', '.join((*MEDIA_TYPE_OF_SUFFIX, *ARRAY_SUFFIXES))}."
    if path.is_dir():
        return f"The folder {text!r} holds no picture or array. {read} Name another folder."
    if any(letter in text for letter in "*?["):
        return f"No picture or array matches {text!r}. {read} Check the path."
    if path.is_file():
        return f"{text!r} is not a picture or array. {read} Convert it to PNG."
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = get_close_matches(path.name, beside, n=1)
    hint = f"Did you mean {str(path.with_name(meant[0]))!r}?" if meant else "Check the path."
    return f"There is no file {text!r}. {hint}"


def is_readable(path: Path) -> bool:
    """Whether a path is a file of a suffix that is read."""
    suffix = path.suffix.lower()
    return path.is_file() and (suffix in MEDIA_TYPE_OF_SUFFIX or suffix in ARRAY_SUFFIXES)


def open_sources(
    files: Sequence[Path], operation: str, takes: Sequence[str], as_batch: AsBatch
) -> list[Source]:
    """Files as sources, neighbouring pictures together.

    Args:
        files: Pictures and arrays.
        operation: Its name, for messages.
        takes: What its body may hold: "images", "latents".
        as_batch: An array of pictures with its axes in the model's order, (N, C, H, W).

    Raises:
        CallError: A file is not an array, or the operation takes no pictures.
    """
    sources: list[Source] = []
    pictures: list[Path] = []
    for path in [*files, None]:
        if path is not None and path.suffix.lower() in MEDIA_TYPE_OF_SUFFIX:
            if "images" not in takes:
                raise CallError(
                    f"{operation} takes latents (.npy, .npz), and {path} is a picture. Encode it "
                    f"first: vae encode {path} -o latents.npy."
                )
            pictures.append(path)
            continue
        if pictures:
            sources.append(Source(tuple(map(str, pictures)), files=tuple(pictures)))
            pictures = []
        if path is not None:
            sources.append(_array_source(path, operation, takes, as_batch))
    return sources


def _array_source(path: Path, operation: str, takes: Sequence[str], as_batch: AsBatch) -> Source:
    named = _read_arrays(path)
    wanted = [kind for kind in takes if kind in named] or list(named)[:1]
    if not wanted or (len(named) > 1 and wanted[0] not in takes):
        raise CallError(
            f"{path} holds {', '.join(named) or 'no array'}; {operation} takes "
            f"{' or '.join(takes)}. Save one array of that name: numpy.savez(file, "
            f"{takes[0]}=array)."
        )
    array = named[wanted[0]]
    kind = wanted[0] if wanted[0] in takes else takes[0]
    if array.dtype.kind not in "biuf":
        raise CallError(
            f"{path} holds an array of {array.dtype}, not of numbers. Save numbers: "
            "numpy.save(file, array.astype('float32'))."
        )
    if kind == "images":
        try:
            array = as_batch(array)
        except ValueError as error:
            raise CallError(f"{path}: {error}") from error
    return Source(tuple(f"{path}[{i}]" for i in range(len(array))), array=array, kind=kind)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by their names; the one of an .npy has none."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CallError(f"{path} {_array_fault(path, error)}") from error


def _array_fault(path: Path, error: Exception) -> str:
    """Why numpy does not read a file, and a fix."""
    if isinstance(error, OSError):
        return f"cannot be opened: {error.strerror or error}. Check the path and its permissions."
    with path.open("rb") as file:
        head = file.read(6)
    if "Object arrays" in str(error):
        return (
            "holds Python objects, not numbers. Save numbers: numpy.save(file, "
            "array.astype('float32'))."
        )
    if not head or head == b"\x93NUMPY" or head[:4] == b"PK\x03\x04":
        return f"is truncated ({path.stat().st_size:,} bytes). Copy or save it again."
    return "is not an array that numpy.save or numpy.savez wrote. Write it with numpy.save."


def parts(num_items: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` items."""
    for start in range(0, num_items, size):
        yield slice(start, min(start + size, num_items))
