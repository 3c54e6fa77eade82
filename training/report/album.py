"""The pictures that a run keeps of its validations, few and small, in its folder.

    runs/<name>/pictures/samples.png                 64 samples of the last validation
                         reconstructions.png         32 held-out images and their reconstructions
                         originals.png               the held-out images of the strips
                         samples-00012.png           a strip of eight samples, after epoch 12
                         reconstructions-00012.png   a strip of eight reconstructions
                         latents.json                the parts of the KL at the last validation

At most twelve epochs keep their strips: the first, the last, and others spread evenly over the
logarithm of the epoch, since most changes at first. Which are kept depends on the epochs alone, so
that a resumed run keeps the same ones as a run that was not interrupted.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from models.images.grid import to_sheet
from training.data.summary import COLUMNS, enlarge
from training.recipes.text import read_text
from training.report.snapshot import Pictures, Snapshot
from training.runs.folder import replace, write_error

FOLDER = "pictures"
MAX_KEPT = 12
"""Epochs that keep their strips."""
_LATENTS = "latents.json"
_LARGEST_SIDE = 64
"""Larger pictures are reduced: a colour strip of eight then has some 100 KiB."""
_STRIP = re.compile(r"(samples|reconstructions)-(\d+)\.png")


@dataclass(frozen=True)
class Strips:
    """The strips of one epoch, as PNG."""

    epoch: int
    samples: bytes | None
    reconstructions: bytes | None


def keep_snapshot(run_dir: Path, snapshot: Snapshot, *, epochs: Sequence[int]) -> None:
    """Keep the pictures of the newest validation, and delete those that are no longer needed.

    Args:
        run_dir: The run's folder.
        snapshot: The newest validation's.
        epochs: Epochs of all validations of the run so far, the newest last. Strips of others are
            deleted: a run that was resumed before them will write them again.

    Raises:
        RunError: The disk is full or cannot be written to.
    """
    folder, epoch = run_dir / FOLDER, epochs[-1]
    try:
        folder.mkdir(exist_ok=True)
        for name, data in _files(snapshot, epoch).items():
            replace(folder / name, data)
        kept = thin_out(sorted(_epochs_kept(folder) & set(epochs)))
        for path, at in _strip_files(folder):
            if at not in kept:
                path.unlink()
    except OSError as error:
        raise write_error(folder, error) from error


def thin_out(epochs: Sequence[int]) -> Collection[int]:
    """The epochs that keep their strips, of those that have some and the newest one.

    While there are too many, the one leaves whose neighbours are the closest in ratio; the first
    and the last stay.
    """
    kept = list(epochs)
    while len(kept) > MAX_KEPT:
        gaps = [log(after / before) for before, after in zip(kept, kept[2:], strict=False)]
        del kept[1 + gaps.index(min(gaps))]
    return kept


def read_strips(run_dir: Path) -> list[Strips]:
    """The strips that a run has kept, by epoch."""
    folder = run_dir / FOLDER
    return [
        Strips(
            epoch,
            samples=read_picture(run_dir, f"samples-{epoch:05d}.png"),
            reconstructions=read_picture(run_dir, f"reconstructions-{epoch:05d}.png"),
        )
        for epoch in sorted(_epochs_kept(folder))
    ]


def read_picture(run_dir: Path, name: str) -> bytes | None:
    """A picture that the run has kept; None if it has none of this name."""
    path = run_dir / FOLDER / name
    return path.read_bytes() if path.is_file() else None


def read_latents(run_dir: Path) -> dict[str, Any]:
    """What `_describe_latents` wrote of the last validation; nothing before the first one."""
    path = run_dir / FOLDER / _LATENTS
    found: dict[str, Any] = json.loads(read_text(path)) if path.is_file() else {}
    return found


def _files(snapshot: Snapshot, epoch: int) -> dict[str, bytes]:
    files = {}
    tiles = {name: _fit_tile(pictures) for name, pictures in snapshot.pictures.items()}
    for name, pictures in tiles.items():
        files[f"{name}.png"] = to_sheet(pictures, COLUMNS)
    if "reconstructions" in tiles:
        pictures = tiles["reconstructions"]
        count = min(COLUMNS, len(pictures) // 2)
        files["originals.png"] = to_sheet(pictures[:count], COLUMNS)
        strip = to_sheet(pictures[count : 2 * count], COLUMNS)
        files[f"reconstructions-{epoch:05d}.png"] = strip
    if "samples" in tiles:
        files[f"samples-{epoch:05d}.png"] = to_sheet(tiles["samples"][:COLUMNS], COLUMNS)
    files[_LATENTS] = json.dumps(_describe_latents(snapshot, epoch), indent=2).encode() + b"\n"
    return files


def _describe_latents(snapshot: Snapshot, epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "num_images": snapshot.num_images,
        "num_latents": snapshot.num_latents,
        "active_units": snapshot.active_units,
        **{name: rows.mean(0).flatten().tolist() for name, rows in snapshot.kl_parts.items()},
    }


def _fit_tile(pictures: Pictures) -> np.ndarray:
    """Small pictures enlarged, large ones averaged over blocks of pixels."""
    block = -(-max(pictures.shape[2:]) // _LARGEST_SIDE)
    if block == 1:
        return enlarge(pictures)
    count, channels, height, width = pictures.shape
    rows, columns = max(1, height // block), max(1, width // block)
    whole = pictures[:, :, : rows * block, : columns * block]
    blocks = whole.reshape(count, channels, rows, -1, columns, whole.shape[3] // columns)
    reduced: np.ndarray = np.round(blocks.mean((3, 5))).astype(np.uint8)
    return reduced


def _strip_files(folder: Path) -> list[tuple[Path, int]]:
    found = ((path, _STRIP.fullmatch(path.name)) for path in folder.glob("*.png"))
    return [(path, int(name[2])) for path, name in found if name is not None]


def _epochs_kept(folder: Path) -> set[int]:
    return {epoch for _, epoch in _strip_files(folder)}
