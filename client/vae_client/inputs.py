"""What a caller names (paths, folders, PIL pictures, arrays, bytes) as sources of requests."""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vae_client.errors import CallError
from vae_client.pictures import to_png
from vae_client.sources import Source, load_arrays

Item = str | os.PathLike[str] | bytes | np.ndarray | Image.Image
Items = Item | Iterable[Item]
"""One item or many: paths of files and folders, bytes of files, PIL pictures, arrays."""
Latents = str | os.PathLike[str] | bytes | np.ndarray | Sequence[np.ndarray]

ARRAYS = (".npy", ".npz")
PICTURES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
)
"""Suffixes of the files that a folder gives."""
_ARRAY_STARTS = (b"\x93NUMPY", b"PK\x03\x04")


def image_sources(items: Items) -> list[Source]:
    """The items as sources, neighbouring pictures together.

    Raises:
        CallError: There are none, or one cannot be read; says a fix.
    """
    sources: list[Source] = []
    names: list[str] = []
    pictures: list[Path | bytes] = []

    def gather() -> None:
        if pictures:
            sources.append(Source(tuple(names), tuple(pictures)))
            names.clear()
            pictures.clear()

    for name, item in _each(items):
        if isinstance(item, np.ndarray):
            gather()
            sources.append(_array(item, name, "images"))
        else:
            names.append(name)
            pictures.append(item)
    gather()
    if not sources:
        raise CallError("There is no picture to send. Name a file, a folder, or give an array.")
    return sources


def latent_source(latents: Latents) -> Source:
    """An array of latents, a row for each, from a file or memory.

    Raises:
        CallError: It is no array of numbers, or has no rows.
    """
    name, content = "", latents
    if isinstance(content, str | os.PathLike):
        name, content = str(content), _file(Path(content))
    if isinstance(content, bytes | Path):
        array = _one_array(content, name or "The array", "latents")
    else:
        try:
            array = np.asarray(content)
        except ValueError as error:
            raise CallError("Latents have different shapes. Give each the same.") from error
    return _array(array, name, "latents")


def _array(array: np.ndarray, name: str, kind: str) -> Source:
    """An array that is sent whole where it may be: its axes are the service's to tell."""
    label = name or "The array"
    if array.dtype.kind not in "biuf":
        raise CallError(
            f"{label} holds {array.dtype}, not numbers. Give numbers: array.astype('float32')."
        )
    if array.ndim == 0 or array.size == 0:
        raise CallError(
            f"{label} of shape {array.shape} holds no {kind}. Give an array with a row for each."
        )
    return Source((), array=array, kind=kind, name=name)


def _each(items: Items) -> Iterator[tuple[str, np.ndarray | Path | bytes]]:
    """Names and contents of items; an array by itself may be one item or many."""
    if isinstance(items, np.ndarray):
        yield "", items
        return
    single = isinstance(items, str | os.PathLike | bytes | Image.Image)
    listed: Iterable[Item] = [items] if single else items  # type: ignore[list-item, assignment]
    for i, item in enumerate(listed):
        if isinstance(item, str | os.PathLike):
            for path in _files(Path(item)):
                is_array = path.suffix.lower() in ARRAYS
                yield str(path), _one_array(path, str(path), "images") if is_array else path
        elif isinstance(item, np.ndarray):
            yield from ((f"[{name}]", one) for name, one in _pictures_of(item, i))
        elif isinstance(item, Image.Image):
            yield str(getattr(item, "filename", "") or f"[{i}]"), to_png(item)
        elif isinstance(item, bytes):
            is_array = item.startswith(_ARRAY_STARTS)
            yield f"[{i}]", _one_array(item, f"[{i}]", "images") if is_array else item
        else:
            raise CallError(
                f"Item {i} is of type {type(item).__name__}. Give paths, bytes, PIL pictures or "
                "numpy arrays."
            )


def _pictures_of(array: np.ndarray, i: int) -> Iterator[tuple[str, bytes]]:
    """The pictures of an array in a list, as .npy files: one of 2 or 3 axes, rows of 4."""
    rows = array if array.ndim == 4 else array[None] if array.ndim == 3 else array[None, None]
    for j in range(len(rows)):
        buffer = io.BytesIO()
        np.save(buffer, rows[j : j + 1], allow_pickle=False)
        yield str(i) if array.ndim < 4 else f"{i}][{j}", buffer.getvalue()


def _file(path: Path) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise CallError(f"There is no file '{path}'. Check the path.")
    return path


def _files(path: Path) -> list[Path]:
    """A file, or the pictures and arrays of a folder and its folders, by name; none is hidden."""
    path = _file(path)
    if not path.is_dir():
        return [path]
    found = [
        one
        for one in sorted(path.rglob("*"))
        if one.suffix.lower() in (*PICTURES, *ARRAYS) and one.is_file()
        if not any(part.startswith(".") for part in one.relative_to(path).parts)
    ]
    if not found:
        raise CallError(
            f"The folder '{path}' holds no picture or array. Read are: "
            f"{', '.join((*PICTURES, *ARRAYS))}. Name another folder."
        )
    return found


def _one_array(content: Path | bytes, label: str, kind: str) -> np.ndarray:
    """The array of an .npy or .npz that is of a kind, or the only one."""
    named = load_arrays(io.BytesIO(content) if isinstance(content, bytes) else content, label)
    if kind in named:
        return named[kind]
    if len(named) != 1:
        raise CallError(
            f"{label} holds {', '.join(named) or 'no array'}. Save one array of the name {kind}: "
            f"numpy.savez(file, {kind}=array)."
        )
    return next(iter(named.values()))
