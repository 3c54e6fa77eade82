"""Warnings: how often each is given of the shipped models' test images, and of their negatives.

Each image is checked as `encode` does with `check=true`. Images of a model with labels are sent a
second time, under their true labels. Needs the data sets (VAE_DATA_DIR).
"""

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app.api.read_items import read_items
from app.compute.labels import find_label
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.operations.parameters import EncodeParameters
from app.operations.table import OPERATIONS
from app.serving.served_model import ServedModel, serve_bundle
from app.settings import PRETRAINED, Settings
from app.wire.items import Body
from models.bundle.loading import load_bundle
from models.estimators.steps import run_steps
from models.warnings import Code
from training.data.array_split import ArraySplit
from training.data.datasets import load

BATCH = 100
GREY = {"mnist-static": "mnist"}
"""The grey images that a data set of binary ones was drawn from: those are what callers send."""


def main(
    images: Annotated[int, typer.Option(min=1, help="Test images of each model.")] = 1000,
    models: Annotated[
        list[str] | None, typer.Argument(help="Shipped models; all by default.")
    ] = None,
) -> None:
    """Count the warnings of proper test images and of their negatives."""
    names = models or sorted(path.name for path in PRETRAINED.iterdir())
    table = Table("model", "sent", "images", "warnings of")
    console = Console()
    for name in names:
        for row in _rows(serve_bundle(load_bundle(PRETRAINED / name / "1"), "cpu"), images):
            table.add_row(name, *row)
            console.print(name, *row)
    console.print(table)


def _rows(served: ServedModel, images: int) -> Iterator[tuple[str, str, str]]:
    dataset = served.bundle.config.provenance.dataset
    split = load(GREY.get(dataset, dataset)).test
    assert isinstance(split, ArraySplit)
    sent = split.images[:images]
    yield "as they are", f"{len(sent):,}", _words(count(served, sent, split.levels))
    white = np.asarray(split.levels - 1, sent.dtype)
    yield "inverted", f"{len(sent):,}", _words(count(served, white - sent, split.levels))
    if served.labels and split.labels is not None:
        found: Counter[Code] = Counter()
        for label, text in enumerate(served.labels):
            chosen = sent[split.labels[:images] == label]
            found += count(served, chosen, split.levels, label=text)
        yield "under their labels", f"{len(sent):,}", _words(found)


def _words(found: Counter[Code]) -> str:
    return ", ".join(f"{code} {number:,}" for code, number in found.items()) or "none"


def count(
    served: ServedModel, images: np.ndarray, levels: int, *, label: str | None = None
) -> Counter[Code]:
    """How many of the images get each warning."""
    operation, found = OPERATIONS["encode"], Counter[Code]()
    parameters = EncodeParameters(check=True, label=label, pixel_max=levels - 1)
    for start in range(0, len(images), BATCH):
        body = Body(images=[images[start : start + BATCH]])
        inputs = read_items(Settings(), operation, served, body, parameters, threading.Event())
        index = find_label(served, label)
        request = ComputeRequest(operation, served, parameters, 0, index, inputs)
        found.update(warned.code for warned in run_steps(compute(request)).warnings)
    return found


if __name__ == "__main__":
    typer.run(main)
