"""Codecs: time to read and write images, over that of Pillow, numpy or orjson alone, in process.

The project reads a body to observations, or writes an answer, with every check; the floor calls the
library alone. Not measured: the socket, the model, large or damaged pictures.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
import orjson
from PIL import Image
from rich.table import Table

from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import OPERATIONS
from app.wire.items import Picture
from app.wire.json_bodies import parse_json
from app.wire.npy import parse_npy
from app.wire.rendering import render
from benchmarks.timing import clock, duration, interleave, ratio, table
from models.images import ImageSpec, read_images, read_picture

SPEC = ImageSpec(channels=1, height=28, width=28)
COUNTS = (1, 32)

Pair = tuple[Callable[[], object], Callable[[], object]]


def run(*, seconds: float, threads: int) -> Iterator[Table]:
    """Measure for about `seconds`; codecs use one thread, whatever `threads` says."""
    made = table(
        "Codecs: 28 x 28 grey images",
        "",
        "images",
        "product",
        "floor",
        "ratio",
        caption="floor: the bare library. Medians over rounds, quartiles in parentheses.",
    )
    cases = [(name, n, pair) for n in COUNTS for name, pair in pairs(n).items()]
    for name, n, (product, floor) in cases:
        took = interleave(
            {"product": product, "floor": floor},
            seconds=seconds / len(cases),
            max_rounds=200,
            clock=clock(1),
            repeats=max(1, 32 // n),
        )
        middles = [duration(float(np.median(values))) for values in took.values()]
        made.add_row(name, str(n), *middles, ratio(took["product"], took["floor"]))
    yield made


def pairs(n: int) -> dict[str, Pair]:
    """Calls that read or write n images: the project's and the floor's, by name."""
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 28, 28)).astype(np.uint8)
    files = [png(image[0]) for image in images]
    npy_body = npy(images)
    numbers = json.dumps({"images": images[:, 0].tolist()}).encode()
    strings = orjson.dumps({"images": [base64.b64encode(data).decode() for data in files]})
    unit = images.astype(np.float32) / 255
    answer = Answer({"images": unit})
    operation = OPERATIONS["reconstruct"]
    encoded = {"png": Rendering(encoding="png"), "float": Rendering(encoding="float")}
    return {
        "read PNG": (
            lambda: [read_picture(data, SPEC) for data in files],
            lambda: [np.asarray(Image.open(io.BytesIO(data))) for data in files],
        ),
        "read npy": (
            lambda: read_images(parse_npy(npy_body), SPEC),
            lambda: np.load(io.BytesIO(npy_body)).astype(np.float32),
        ),
        "read JSON numbers": (
            lambda: [
                read_images(cast(np.ndarray, item), SPEC) for item in parse_json(numbers).images
            ],
            lambda: np.asarray(orjson.loads(numbers)["images"], np.float32),
        ),
        "read JSON of base64 PNG": (
            lambda: [
                read_picture(cast(Picture, item).data, SPEC) for item in parse_json(strings).images
            ],
            lambda: [
                np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
                for text in orjson.loads(strings)["images"]
            ],
        ),
        "write npy": (
            lambda: render("npy", answer, operation, encoded["float"], {}),
            lambda: npy(unit),
        ),
        "write JSON numbers": (
            lambda: render("json", answer, operation, encoded["float"], {}),
            lambda: orjson.dumps({"images": unit}, option=orjson.OPT_SERIALIZE_NUMPY),
        ),
        "write JSON of base64 PNG": (
            lambda: render("json", answer, operation, encoded["png"], {}),
            lambda: orjson.dumps([base64.b64encode(png(image[0])).decode() for image in images]),
        ),
    }


def png(pixels: np.ndarray) -> bytes:
    """PNG of a grey picture, by Pillow alone."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """Bytes of a .npy file, by numpy alone."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
