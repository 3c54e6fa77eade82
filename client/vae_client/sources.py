"""Pictures and arrays on disk as the parts of requests. It sends nothing."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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

AsBatch = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Source:
    """Items of one kind that can share a request: picture files, or the rows of one array."""

    labels: tuple[str, ...]
    files: tuple[Path, ...] = ()
    array: np.ndarray | None = None
    kind: str = "images"

    def request(self, part: slice) -> dict[str, Any]:
        """Arguments of httpx for some of the items."""
        if self.array is not None:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **{self.kind: self.array[part]})
            return {
                "content": buffer.getvalue(),
                "headers": {"Content-Type": "application/x-npz"},
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
        """What the whole array says and a part of it might not."""
        if self.array is None or self.kind != "images" or self.array.dtype.kind not in "ui":
            return {}
        return {} if self.array.max(initial=0) == 1 else {"pixel_max": "255"}


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths, folders and globs name; folders are searched to the bottom.

    Raises:
        CallError: A path names nothing that can be read.
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
            suffixes = ", ".join((*MEDIA_TYPE_OF_SUFFIX, *ARRAY_SUFFIXES))
            raise CallError(
                f"Inputs are files, folders or globs of {suffixes}; {text!r} names none. Check "
                "the path."
            )
        found += matches
    return found


def is_readable(path: Path) -> bool:
    """Whether a path is a file whose suffix is one that is read."""
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
                raise CallError(f"`{operation}` takes latents (.npy, .npz); {path} is a picture.")
            pictures.append(path)
            continue
        if pictures:
            sources.append(Source(tuple(map(str, pictures)), files=tuple(pictures)))
            pictures = []
        if path is not None:
            sources.append(_array_source(path, operation, takes, as_batch))
    return sources


def _array_source(path: Path, operation: str, takes: Sequence[str], as_batch: AsBatch) -> Source:
    try:
        loaded = np.load(path, allow_pickle=False)
        named = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CallError(
            f"{path} is no array that numpy can read without pickle: {error}"
        ) from error
    wanted = [kind for kind in takes if kind in named] or list(named)[:1]
    if not wanted or (len(named) > 1 and wanted[0] not in takes):
        raise CallError(
            f"{path} holds {', '.join(named)}; `{operation}` takes "
            f"{' or '.join(takes)}. Save one array of that name."
        )
    array = named[wanted[0]]
    kind = wanted[0] if wanted[0] in takes else takes[0]
    if kind == "images":
        array = as_batch(array)
    return Source(tuple(f"{path}[{i}]" for i in range(len(array))), array=array, kind=kind)


def parts(num_items: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` items."""
    for start in range(0, num_items, size):
        yield slice(start, min(start + size, num_items))
