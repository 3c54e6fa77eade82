"""Folders: seconds until the pictures of a folder are there to train on, first and second start.

Each start is a process of its own that loads the data set and reads its training levels and
validation observations, as `vae-lab train` of a recipe does before its first step. Not measured:
the choice of a recipe, the imports before, the model, and disks: the files were written a moment
ago, so that they are read from memory. It needs Linux.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks.timing import duration, table

SIDE = 64
ADDED = 10
_SUBFOLDERS = 10

_START = """
import json, sys, time
from models.images import ImageSpec
from training.data.datasets import load

def memory():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

spec = ImageSpec(channels=3, height=int(sys.argv[2]), width=int(sys.argv[2]))
before, used, times = memory(), time.process_time(), [time.perf_counter()]
dataset = load(sys.argv[1], specs=[spec])
times.append(time.perf_counter())
dataset.keep_levels(spec)
held = dataset.train.read_levels(spec), dataset.validation.observations(spec)
times.append(time.perf_counter())
used = time.process_time() - used
print(json.dumps([times[1] - times[0], times[2] - times[1], used, memory() - before]))
"""


def run(*, pictures: int) -> Iterator[Table]:
    """Make a folder of so many JPEG files in the temporary folder, and time starts on it."""
    made = table(
        f"Folder of {pictures:,} JPEG files of {SIDE} x {SIDE}",
        "start",
        "looking",
        "reading",
        "both",
        "processor",
        "memory",
        caption="looking: finds files, classes and splits, and what is doubtful. reading: levels "
        "of train, observations of validation. processor: time of all threads in both. memory: "
        "what the process holds after it, without what is mapped from disk.",
    )
    place = Path(tempfile.mkdtemp(prefix="vae-folders-"))
    try:
        write_pictures(place / "photos", range(pictures))
        made.add_row("without a cache", *_start(place, VAE_CACHE_GB="0"))
        made.add_row("first", *_start(place))
        made.add_row("second", *_start(place))
        write_pictures(place / "photos", range(pictures, pictures + ADDED))
        made.add_row(f"with {ADDED} more", *_start(place))
        made.add_row("once more", *_start(place))
    finally:
        shutil.rmtree(place)
    yield made


def write_pictures(folder: Path, seeds: range) -> None:
    """Write a JPEG file of smooth noise for each seed, in ten class folders."""
    for seed in seeds:
        generator = np.random.default_rng(seed)
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = folder / f"class-{seed % _SUBFOLDERS}" / f"{seed}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        smooth = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        smooth.save(path, quality=90)


def _start(place: Path, **variables: str) -> list[str]:
    """The cells of a start's row."""
    done = subprocess.run(
        [sys.executable, "-c", _START, str(place / "photos"), str(SIDE)],
        env={**os.environ, "VAE_CACHE_DIR": str(place / "cache"), **variables},
        stdout=subprocess.PIPE,
        check=True,
    )
    looking, reading, used, kilobytes = json.loads(done.stdout)
    times = looking, reading, looking + reading, used
    return [*map(duration, times), f"{kilobytes / 1024:,.0f} MiB"]
