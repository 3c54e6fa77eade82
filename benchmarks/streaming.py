"""Streaming: a million pictures in tar shards, decoded, read from the disk and trained on.

python -m benchmarks streaming --pictures 1000000

Each start and each training is a process of its own. A start loads the data set and reads its
training levels, as `vae-lab train` does before its first step. A training is one epoch of a small
MLP, in turns on the levels in the disk cache, whose pages the operating system gave up just before,
and on the same levels in memory. The rate of training is that of its log. Memory is the largest
anonymous memory of the process, read every few milliseconds: what is mapped from the disk does not
count. Not measured: a memory that is smaller than the levels; once they are read, the operating
system keeps them. It needs Linux.
"""

import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.servers import anonymous_bytes
from benchmarks.timing import duration, table
from models.images import ImageSpec
from training.data.array_split import ArraySplit
from training.data.datasets import load
from training.fit import batches
from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.runs.folder import read_log

SIDE = 16
SHARD = 10_000
"""Pictures of a shard."""
_HELD_OUT = 500
_BATCH = 500
_ROUNDS = 3
_BETWEEN_SECONDS = 0.005
_NETWORK = '{kind="mlp",hidden=[64]}'


def run(*, pictures: int) -> Iterator[Table]:
    """Measure a tenth of so many pictures, and all of them."""
    starts = table(
        f"Streaming: starts on PNG pictures of {SIDE} x {SIDE} in tar shards",
        "pictures, start",
        "seconds",
        "pictures/s",
        "anonymous memory, at most",
    )
    trainings = table(
        f"Streaming: an epoch of an MLP, batches of {_BATCH}",
        "pictures, where the levels are",
        "trained, images/s",
        "read, images/s",
        "anonymous memory, at most",
        caption=f"{_ROUNDS} rounds in turns; medians. read: the rate of the thread that reads "
        "ahead. The input is the bottleneck where it is below the rate of training from memory.",
    )
    for count in (pictures // 10, pictures):
        with tempfile.TemporaryDirectory(prefix="vae-streaming-") as folder:
            place = Path(folder)
            write_shards(place / "shards", count)
            for name in ("first", "second"):
                one = _measure(place, "start")
                rate = f"{count / one['seconds']:,.0f}"
                starts.add_row(f"{count:,}, {name}", duration(one["seconds"]), rate, _peak([one]))
            lines: dict[str, list[dict[str, Any]]] = {"disk": [], "memory": []}
            for _ in range(_ROUNDS):
                for where, found in lines.items():
                    found.append(_measure(place, where))
            for where, found in lines.items():
                trained = _median(found, "images_per_second")
                read = _median(found, "images_read_per_second") if where == "disk" else ""
                trainings.add_row(f"{count:,}, {where}", trained, read, _peak(found))
    yield starts
    yield trainings


def write_shards(folder: Path, count: int) -> None:
    """Write so many training pictures, and a few held-out ones, into shards."""
    folder.mkdir()
    parts = [("val", _HELD_OUT), ("test", _HELD_OUT)]
    parts += [("train", min(SHARD, count - first)) for first in range(0, count, SHARD)]
    for seed, (split, size) in enumerate(parts):
        coarse = np.random.default_rng(seed).integers(0, 256, (size, 4, 4), dtype=np.uint8)
        with tarfile.open(folder / f"{split}-{seed:06}.tar", "w") as shard:
            for number, picture in enumerate(coarse.repeat(4, axis=1).repeat(4, axis=2)):
                data = png(picture)
                member = tarfile.TarInfo(f"{number:06}.png")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))


def png(levels: np.ndarray) -> bytes:
    """PNG of a grey picture, its fastest form: ten times as fast as Pillow."""
    height, width = levels.shape
    rows = np.pad(levels, ((0, 0), (1, 0)))  # a filter type of 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def start(place: Path) -> dict[str, Any]:
    """The seconds of a start, in this process."""
    spec, began = ImageSpec(channels=1, height=SIDE, width=SIDE), time.perf_counter()
    load(str(place / "shards")).train.read_levels(spec)
    return {"seconds": time.perf_counter() - began}


def train_from(place: Path, where: str) -> dict[str, Any]:
    """The last line of the log of a training in this process, from "disk" or "memory"."""
    torch.set_num_threads(1)
    recipe = load_recipe(
        RECIPES / "digits.toml",
        overrides=[
            *(f"dataset.name={place / 'shards'}", "image.levels=256"),
            *(f"image.height={SIDE}", f"image.width={SIDE}", "vae.latent_shape=[8]"),
            *(f"vae.encoder={_NETWORK}", f"vae.decoder={_NETWORK}"),
            'vae.likelihood={kind="normal",scale="learned"}',
            *("image.values=unit", "training.epochs=1", f"training.batch_size={_BATCH}"),
            *("training.validate_every_epochs=1", "training.kl_warmup_epochs=0"),
        ],
    )
    dataset = load(recipe.dataset.name)
    if where == "memory":
        levels = np.array(dataset.train.read_levels(recipe.image))
        dataset = replace(dataset, train=ArraySplit(levels[:, 0], None, levels=256))
    else:
        batches.MAPPED_SHARE = 0.0  # levels of any size count as on the disk
        _give_up_pages(place / "cache")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        console = Console(quiet=True)
        train(recipe, run_dir=Path(folder) / "run", dataset=dataset, device="cpu", console=console)
        return read_log(Path(folder) / "run")[-1]


def _give_up_pages(folder: Path) -> None:
    """Let the operating system forget the files of a folder."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure(place: Path, what: str) -> dict[str, Any]:
    """What "start", or training from "disk" or "memory", finds in a process, and its `peak`."""
    call = "start(place)" if what == "start" else f"train_from(place, {what!r})"
    script = (
        "import json, sys; from pathlib import Path; from benchmarks.streaming import *\n"
        f"place = Path(sys.argv[1]); print(json.dumps({call}))"
    )
    variables = {"VAE_CACHE_DIR": str(place / "cache"), "VAE_CACHE_GB": "1000"}
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(_BETWEEN_SECONDS)
        assert process.stdout is not None
        found: dict[str, Any] = json.loads(process.stdout.read())
    return {**found, "peak": peak}


def _median(found: list[dict[str, Any]], name: str) -> str:
    return f"{np.median([one[name] for one in found]):,.0f}"


def _peak(found: list[dict[str, Any]]) -> str:
    return f"{max(one['peak'] for one in found) / 2**20:,.0f} MiB"
