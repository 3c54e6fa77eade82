"""Pictures of noise in folders."""

from pathlib import Path

import numpy as np
from PIL import Image


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
