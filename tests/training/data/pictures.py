"""Pictures of noise in folders, and image specs of every kind."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from models.images import ImageSpec
from training.data.file_split import FileSplit
from training.data.file_stamp import NO_STAMP, stamp_file
from training.data.split import Split

SMALL = ImageSpec(channels=3, height=6, width=6)
GREY = ImageSpec(channels=1, height=20, width=12, fit="crop")
SPECS = {
    "grey, cropped": GREY,
    "colour, stretched, 16 levels": ImageSpec(channels=3, height=9, width=9, levels=16),
    "grey, padded, unit": ImageSpec(
        channels=1, height=8, width=16, fit="pad", background=255, values="unit"
    ),
    "stochastically binarised": ImageSpec(
        channels=1, height=8, width=8, levels=2, binarization="stochastic", resample="lanczos"
    ),
    "binarised at one half": ImageSpec(
        channels=1, height=8, width=8, levels=2, binarization="threshold"
    ),
}


def save(path: Path, *, seed: int, form: str = "PNG", side: int = 6) -> Path:
    """One picture of noise, the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, form)
    return path


def fill(folder: Path, count: int, *, start: int = 0) -> None:
    """Pictures <start>.png, ..., all distinct."""
    for seed in range(start, start + count):
        save(folder / f"{seed}.png", seed=seed)


def settle(path: Path) -> None:
    """Wait until a file, or every file of a folder, has not changed a moment ago."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        while file.is_file() and stamp_file(file)[0] == NO_STAMP:
            time.sleep(0.005)


def paths_of(split: Split) -> list[Path]:
    """The files of a folder's split, in its order."""
    assert isinstance(split, FileSplit)
    root = split.pictures.samples.root
    return [root / split.name(position) for position in range(len(split))]
