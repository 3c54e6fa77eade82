"""Content negotiation, and an answer's forms: JSON, PNG, npy, npz, and moving WebP and GIF.

It reads no request body (`bodies.py`) and computes nothing.
"""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.operations.result import Answer
from models.images import grid, to_animation, to_png, to_uint8


@dataclass(frozen=True)
class Rendering:
    """How an answer is written."""

    primary: tuple[str, ...]
    """Column that npy gives: the first of these that there is."""
    per_item: bool
    """Whether JSON has one object per item, under `results`."""
    encoding: str = "png"
    dtype: str = "float32"
    columns: int | None = None


def render(form: str, answer: Answer, rendering: Rendering, envelope: Mapping[str, Any]) -> bytes:
    """The answer's bytes in one form.

    Args:
        form: A key of `MEDIA_TYPES`.
        answer: What was computed.
        rendering: How images are written.
        envelope: What is said of the request: model, version, seed, preprocessing.
    """
    if form == "json":
        return _json(answer, rendering, envelope)
    if form == "npy":
        name = next(name for name in rendering.primary if name in answer.columns)
        return _npy(_array(answer.columns[name], rendering, name=name))
    if form == "npz":
        return _npz(answer, rendering, envelope)
    images = to_uint8(answer.columns["images"])
    if form == "png":
        return _png(images, rendering.columns)
    there_and_back = np.concatenate([images, images[-2:0:-1]])
    return to_animation(there_and_back, "gif" if form == "gif" else "webp")


def _json(answer: Answer, rendering: Rendering, envelope: Mapping[str, Any]) -> bytes:
    columns = dict(answer.columns)
    if "images" in columns and rendering.encoding == "png":
        images = to_uint8(columns["images"])
        columns["images"] = [base64.b64encode(to_png(image)).decode() for image in images]
    body: dict[str, Any] = {**envelope, **answer.facts}
    if rendering.per_item:
        rows = zip(*columns.values(), strict=True)
        body["results"] = [dict(zip(columns, row, strict=True)) for row in rows]
    else:
        body.update(columns)
    return to_json(body)


def to_json(value: Any) -> bytes:
    """JSON in which numpy arrays are nested lists and what is not finite is null."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    """What orjson does not take itself: arrays that are not contiguous."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


_WORDS = ("reason", "bits_per_dim_reason", "percentile_reason", "label_used")
"""Fields that hold words even where all of them are null."""


def _array(value: Any, rendering: Rendering, *, name: str) -> np.ndarray:
    """A column as an array: null is NaN among numbers and "" among words; objects are JSON."""
    if name == "images" and rendering.dtype == "uint8":
        return to_uint8(value)
    if isinstance(value, np.ndarray):
        return value
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if any(isinstance(entry, dict) for entry in entries):
        return np.asarray(to_json(value).decode())
    words = name in _WORDS or any(isinstance(entry, str) for entry in entries)
    filled = [("" if words else math.nan) if entry is None else entry for entry in entries]
    array = np.asarray(filled)
    return array if isinstance(value, list | tuple) else array[0]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _npz(answer: Answer, rendering: Rendering, envelope: Mapping[str, Any]) -> bytes:
    words = {**envelope, **answer.facts}
    words.pop("preprocessing_steps", None)  # the words say the same
    if "preprocessing" in words:
        words["preprocessing"] = ["; ".join(steps) for steps in words["preprocessing"]]
    named = {**words, **answer.columns}
    arrays = {
        name: _array(value, rendering, name=name)
        for name, value in named.items()
        if value is not None or name in _WORDS
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _png(images: np.ndarray, columns: int | None) -> bytes:
    """One image by itself, several as a grid."""
    if len(images) == 1:
        return to_png(images[0])
    return to_png(grid(images, columns=columns or math.ceil(math.sqrt(len(images)))))
