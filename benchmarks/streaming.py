"""Streaming: a million pictures in tar shards, decoded, read from the disk and trained on.

python -m benchmarks streaming --pictures 1000000

Each start and each training is a process of its own. A start loads the data set and reads its
training levels, as `vae-lab train` does before its first step. A training is one epoch of a small
MLP, in turns on the levels in the disk cache, whose pages the operating system gave up just before,
and on the same levels in memory. The rate of training is that of its log. Memory is the largest
anonymous memory of the process, read every few milliseconds: what is mapped from the disk does not
count.

The last table is of a fifth as many pictures of 64 x 64, by processes whose memory the kernel
limits (`memory_limit.py`), the pages that it keeps of files included: of a million, the levels
alone take more than the limit. A process that needs more is killed. Not measured: disks, since what
the kernel gives up here a host below it may still have in memory. It needs Linux, and for the last
table the right to make a control group.
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

from benchmarks.memory_limit import enter, memory_limit
from benchmarks.servers import anonymous_bytes
from benchmarks.timing import duration, table
from models.images import ImageSpec
from training.data.array_split import ArraySplit
from training.data.datasets import load
from training.fit import batches
from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.runs.folder import read_log

SIDE, LARGER_SIDE = 16, 64
LIMIT = 640 * 2**20
"""Bytes of memory of a limited process."""
SHARD = 10_000
"""Pictures of a shard."""
_HELD_OUT = 500
_BATCH = 500
_ROUNDS = 3
_BETWEEN_SECONDS = 0.005
_NETWORK = '{kind="mlp",hidden=[64]}'


def run(*, pictures: int) -> Iterator[Table]:
    """Measure a tenth of so many pictures, all of them, and a fifth of larger ones."""
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
    with memory_limit(LIMIT) as group:
        if group is None:
            print("No control group can be made: no memory is limited.", file=sys.stderr)
        else:
            yield _limited(pictures // 5, group)


def _limited(count: int, group: Path) -> Table:
    """A start and a training in a memory that is smaller than the levels, and without a limit."""
    size = count * LARGER_SIDE**2 / 2**20
    made = table(
        f"Streaming: {count:,} pictures of {LARGER_SIDE} x {LARGER_SIDE}, whose levels take "
        f"{size:,.0f} MiB, in a memory of {LIMIT / 2**20:,.0f} MiB",
        "process",
        "seconds",
        "pictures/s",
        "read ahead, images/s",
        "read from the disk",
        "anonymous memory, at most",
        caption="An epoch of training. read from the disk: by the process, as the kernel counts.",
    )
    with tempfile.TemporaryDirectory(prefix="vae-streaming-") as folder:
        place = Path(folder)
        write_shards(place / "shards", count, side=LARGER_SIDE)
        measures: dict[str, tuple[str, Path | None]] = {
            "first start": ("start", group),
            "second start": ("start", group),
            "training": ("disk", group),
            "training without a limit": ("disk", None),
        }
        for name, (what, where) in measures.items():
            one = _measure(place, what, side=LARGER_SIDE, group=where)
            read = one.get("images_read_per_second")
            made.add_row(
                name,
                duration(one["seconds"]),
                f"{count / one['seconds']:,.0f}",
                "" if read is None else f"{read:,.0f}",
                f"{one['read_bytes'] / 2**20:,.0f} MiB",
                _peak([one]),
            )
    return made


def write_shards(folder: Path, count: int, *, side: int = SIDE) -> None:
    """Write so many training pictures, and a few held-out ones, into shards."""
    folder.mkdir()
    parts = [("val", _HELD_OUT), ("test", _HELD_OUT)]
    parts += [("train", min(SHARD, count - first)) for first in range(0, count, SHARD)]
    for seed, (split, size) in enumerate(parts):
        coarse = np.random.default_rng(seed).integers(0, 256, (size, 4, 4), dtype=np.uint8)
        with tarfile.open(folder / f"{split}-{seed:06}.tar", "w") as shard:
            fine = coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)
            for number, picture in enumerate(fine):
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


def start(place: Path, side: int) -> dict[str, Any]:
    """The seconds of a start, in this process."""
    spec, began = ImageSpec(channels=1, height=side, width=side), time.perf_counter()
    dataset = load(str(place / "shards"), specs=[spec])
    dataset.keep_levels(spec)
    dataset.train.read_levels(spec)
    return {"seconds": time.perf_counter() - began}


def train_from(place: Path, side: int, where: str) -> dict[str, Any]:
    """The last line of the log of a training in this process, from "disk" or "memory"."""
    torch.set_num_threads(1)
    recipe = load_recipe(
        RECIPES / "digits.toml",
        overrides=[
            *(f"dataset.name={place / 'shards'}", "image.levels=256"),
            *(f"image.height={side}", f"image.width={side}", "vae.latent_shape=[8]"),
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


def read_bytes() -> int:
    """Bytes that this process made the kernel read from disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def _measure(
    place: Path, what: str, *, side: int = SIDE, group: Path | None = None
) -> dict[str, Any]:
    """What a process finds, its `read_bytes`, and its `peak`.

    Args:
        place: The folder of shards and cache.
        what: "start", or training from "disk" or "memory".
        side: Height and width of the pictures.
        group: The control group that it runs in; none by default.
    """
    call = f"start(place, {side})" if what == "start" else f"train_from(place, {side}, {what!r})"
    script = (
        "import json, sys; from pathlib import Path; from benchmarks.streaming import *\n"
        "place, before = Path(sys.argv[1]), read_bytes()\n"
        f"print(json.dumps({{**{call}, 'read_bytes': read_bytes() - before}}))"
    )
    variables = {"VAE_CACHE_DIR": str(place / "cache"), "VAE_CACHE_GB": "1000"}
    with subprocess.Popen(
        [*enter(group), sys.executable, "-c", script, str(place)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(_BETWEEN_SECONDS)
        assert process.stdout is not None
        if process.returncode:
            raise SystemExit(f"{what} ended with {process.returncode}: killed by its limit?")
        found: dict[str, Any] = json.loads(process.stdout.read())
    return {**found, "peak": peak}


def _median(found: list[dict[str, Any]], name: str) -> str:
    return f"{np.median([one[name] for one in found]):,.0f}"


def _peak(found: list[dict[str, Any]]) -> str:
    return f"{max(one['peak'] for one in found) / 2**20:,.0f} MiB"
