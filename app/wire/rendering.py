"""Formats of an answer: JSON, PNG, npy, npz, and animated WebP and GIF."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from app.operations.answers import text_fields
from app.operations.parameters import Rendering
from app.operations.result import Answer
from app.operations.table import Operation
from models.images import to_animation, to_png, to_sheet, to_uint8
from models.warnings import Warned


def render(
    form: str,
    answer: Answer,
    operation: Operation,
    options: Rendering,
    envelope: Mapping[str, Any],
) -> bytes:
    """The answer's bytes in one format.

    Args:
        form: A key of `MEDIA_TYPES`.
        answer: What was computed.
        operation: Declares the answer's fields.
        options: How images are written.
        envelope: Facts of the request: model, version, seed, preprocessing.
    """
    if form == "json":
        return _json(answer, operation, options, envelope)
    if form == "npy":
        name = next(name for name in operation.primary if name in answer.columns)
        return _npy(_array(name, answer.columns[name], operation, options))
    if form == "npz":
        return _npz(answer, operation, options, envelope)
    images = to_uint8(answer.columns[operation.pictures])
    if form == "png":
        return _png(images, options.columns or (len(images) if operation.is_path else None))
    there_and_back = np.concatenate([images, images[-2:0:-1]])
    return to_animation(there_and_back, "gif" if form == "gif" else "webp")


def _json(
    answer: Answer, operation: Operation, options: Rendering, envelope: Mapping[str, Any]
) -> bytes:
    columns, pictures = dict(answer.columns), operation.pictures
    if pictures in columns and options.encoding == "png":
        images = to_uint8(columns[pictures])
        columns[pictures] = [base64.b64encode(to_png(image)).decode() for image in images]
    body: dict[str, Any] = {**envelope, **_warnings(answer.warnings), **answer.facts}
    if operation.per_item:
        rows = zip(*columns.values(), strict=True)
        body["results"] = [dict(zip(columns, row, strict=True)) for row in rows]
    else:
        body.update(columns)
    return to_json(body)


def _warnings(warnings: Sequence[Warned]) -> dict[str, Any]:
    return {"warnings": [asdict(warned) for warned in warnings]}


def to_json(value: Any) -> bytes:
    """JSON in which numpy arrays are nested lists and what is not finite is null."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    """Make contiguous the arrays that orjson refuses."""
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _array(name: str, value: Any, operation: Operation, options: Rendering) -> np.ndarray:
    """A field as an array: null is NaN among numbers and "" among texts; objects are JSON."""
    if name == operation.pictures and options.dtype == "uint8":
        return to_uint8(value)
    if isinstance(value, np.ndarray):
        return value
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if any(isinstance(entry, dict) for entry in entries):
        return np.asarray(to_json(value).decode())
    null = "" if name in text_fields(operation.answer) else math.nan
    array = np.asarray([null if entry is None else entry for entry in entries])
    return array if isinstance(value, list | tuple) else array[0]


def _npy(array: np.ndarray) -> bytes:
    """As `numpy.save` writes it."""
    array = np.ascontiguousarray(array)
    assert not array.dtype.hasobject
    return b"".join((_npy_header(array.dtype, array.shape), array.reshape(-1).view(np.uint8).data))


@lru_cache(maxsize=256)
def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": shape,
    }
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


def to_arrays(
    answer: Answer, operation: Operation, options: Rendering, envelope: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Every field of an answer as an array, but a number that is null as a whole.

    Null is NaN among numbers and "" among texts.
    """
    warnings = to_json(_warnings(answer.warnings)["warnings"]).decode()
    facts = {**envelope, "warnings": warnings, **answer.facts}
    facts.pop("preprocessing_steps", None)  # `preprocessing` says the same
    if "preprocessing" in facts:
        facts["preprocessing"] = ["; ".join(steps) for steps in facts["preprocessing"]]
    texts = text_fields(operation.answer)
    return {
        name: _array(name, value, operation, options)
        for name, value in {**facts, **answer.columns}.items()
        if value is not None or name in texts
    }


def _npz(
    answer: Answer, operation: Operation, options: Rendering, envelope: Mapping[str, Any]
) -> bytes:
    arrays = to_arrays(answer, operation, options, envelope)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _png(images: np.ndarray, columns: int | None) -> bytes:
    """One image by itself, several as a grid."""
    if len(images) == 1:
        return to_png(images[0])
    return to_sheet(images, columns or math.ceil(math.sqrt(len(images))))
