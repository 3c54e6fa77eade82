"""Batches of many pictures: rows a second of `vae-lab batch` beside the library in one process.

In process: a loop reads the pictures, runs the encoder or the ELBO on a hundred at a time, one
thread, and keeps the results. `vae-lab batch` does so with workers of a thread each, and also gives
every row its name, its checks and its warnings, and writes Parquet files. Rates are per second of
processor time, which other processes change little; what a start takes cancels, as a batch of a
tenth of the pictures is measured too.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from app.compute.passes import encode_rows
from app.settings import PRETRAINED
from benchmarks.media import png
from benchmarks.servers import ROOT
from benchmarks.timing import duration, table
from models.bundle.loading import Bundle, load_bundle
from models.estimators.elbo import estimate_elbo
from models.images import read_picture

MODEL = "mnist"
BLOCKS = 20
BATCH = 100
SAMPLES = 10
OPERATIONS = ("encode", "score")


def run(*, pictures: int, workers: tuple[int, ...] = (1, 2)) -> Iterator[Table]:
    """Measure each operation: `score` has a quarter of the pictures."""
    made = table(
        f"Batches of 28 x 28 PNG files, the {MODEL} bundle, {BLOCKS} blocks; score: K = {SAMPLES}",
        "operation",
        *("workers", "pictures", "rows a processor second in process", "by vae-lab batch"),
        *("over in process", "start, processor time"),
    )
    torch.set_num_threads(1)
    bundle = load_bundle(PRETRAINED / MODEL / "1")
    with tempfile.TemporaryDirectory() as folder:
        for operation in OPERATIONS:
            count = pictures if operation == "encode" else pictures // 4
            many = _write(Path(folder, operation), count)
            few = _write(Path(folder, f"{operation} few"), count // 10)
            before = _in_process(bundle, many, operation)
            found = []
            for number in workers:
                seconds = [
                    _by_command(operation, files, workers=number, block=count // BLOCKS)
                    for files in (few, many)
                ]
                rate = (len(many) - len(few)) / (seconds[1] - seconds[0])
                found.append((number, rate, max(0.0, seconds[0] - len(few) / rate)))
            alone = (before + _in_process(bundle, many, operation)) / 2
            for number, rate, start in found:
                made.add_row(
                    *(operation, str(number), f"{count:,}", f"{alone:,.1f}", f"{rate:,.1f}"),
                    *(f"{rate / alone:.2f}", duration(start)),
                )
    yield made


def _write(folder: Path, count: int) -> list[Path]:
    """Random pictures."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    files = [folder / f"{i:06d}.png" for i in range(count)]
    for file in files:
        file.write_bytes(png((generator.random((28, 28)) > 0.8).astype(np.uint8) * 255))
    return files


def _in_process(bundle: Bundle, files: list[Path], operation: str) -> float:
    """Rows a processor second of a loop over the library."""
    vae, spec = bundle.vae, bundle.config.image
    found: list[object] = []

    def call(images: np.ndarray, first: int) -> object:
        if operation == "encode":
            with torch.no_grad():
                return encode_rows(vae, True, images, None, None)
        x = torch.from_numpy(images)
        return estimate_elbo(vae, x, num_samples=SAMPLES, seed=1, first_item=first)

    began_at, done = time.process_time(), 0
    for first in range(0, len(files), BATCH):
        batch = [read_picture(file.read_bytes(), spec).x for file in files[first : first + BATCH]]
        found.append(call(np.stack(batch), first))
        done += len(batch)
    return done / (time.process_time() - began_at)


def _by_command(operation: str, files: list[Path], *, workers: int, block: int) -> float:
    """Processor seconds of `vae-lab batch` and its workers."""
    folder = files[0].parent
    out = folder.with_name(f"{folder.name} {workers}")
    command = [sys.executable, "-m", "training", "batch", operation, str(folder), "-o", str(out)]
    command += ["--model", MODEL, "--model-repository", str(PRETRAINED), "--seed", "1"]
    if operation == "score":
        command += ["--set", f"num_samples={SAMPLES}"]
    command += ["--block", str(block), "--batch-size", str(BATCH), "--workers", str(workers)]
    before = _children_seconds()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return _children_seconds() - before


def _children_seconds() -> float:
    """Processor time of all that this process started and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
