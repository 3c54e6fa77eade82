"""Bodies of the Open Inference Protocol: tensors in JSON and as raw bytes, and what is refused."""

import json
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidParameter, MalformedRequest
from app.wire.inference import parse_inference, write_inference
from models.errors import PayloadTooLarge, ShapeMismatch, UnsupportedMedia, VAEError

TAKES = ("images", "latents")


def parse_one(entry: dict[str, Any], raw: bytes = b"") -> Any:
    """The one input of a request."""
    tensor = {"name": "images", "shape": [2], "datatype": "FP32", **entry}
    head = json.dumps({"inputs": [tensor]}).encode()
    length = str(len(head)).encode() if raw else None
    return parse_inference(head + raw, length, TAKES, max_items=9).inputs["images"]


@pytest.mark.parametrize("datatype", ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8"])
def test_whole_numbers_come_in_json_and_raw(datatype: str) -> None:
    found = parse_one({"datatype": datatype, "data": [0, 1]})
    raw = parse_one(
        {"datatype": datatype, "parameters": {"binary_data_size": found.nbytes}}, found.tobytes()
    )
    assert found.dtype == raw.dtype
    assert found.tolist() == raw.tolist() == [0, 1]


def test_nested_data_are_row_major_as_flat_data_are() -> None:
    flat = parse_one({"shape": [2, 2], "data": [1, 2, 3, 4.5]})
    nested = parse_one({"shape": [2, 2], "data": [[1, 2], [3, 4.5]]})
    assert flat.tolist() == nested.tolist() == [[1, 2], [3, 4.5]]
    assert parse_one({"shape": [0, 2], "datatype": "UINT8", "data": []}).shape == (0, 2)


def test_halves_come_raw() -> None:
    half, size = np.array([1.5, -2], "<f2"), {"parameters": {"binary_data_size": 4}}
    assert parse_one({"datatype": "FP16", **size}, half.tobytes()).tolist() == [1.5, -2]
    brain = (np.array([1.5, -2], "<f4").view("<u4") >> 16).astype("<u2")
    assert parse_one({"datatype": "BF16", **size}, brain.tobytes()).tolist() == [1.5, -2]


def test_bytes_are_texts_in_json_and_counted_bytes_when_raw() -> None:
    assert parse_one({"datatype": "BYTES", "data": ["a", "bc"]}) == ["a", "bc"]
    raw = b"\1\0\0\0a\2\0\0\0bc"
    size = {"parameters": {"binary_data_size": len(raw)}}
    assert parse_one({"datatype": "BYTES", **size}, raw) == [b"a", b"bc"]


@pytest.mark.parametrize(
    ("entry", "raw", "error", "says"),
    [
        ({}, b"", MalformedRequest, "images has no data"),
        ({"data": 1}, b"", MalformedRequest, "are no list"),
        ({"name": 3, "data": []}, b"", MalformedRequest, "has no name"),
        ({"shape": "2", "data": []}, b"", ShapeMismatch, "is no list of up to 5 lengths"),
        ({"shape": [-1, 2], "data": []}, b"", ShapeMismatch, "is no list of up to 5 lengths"),
        ({"shape": [True], "data": [1]}, b"", ShapeMismatch, "is no list of up to 5 lengths"),
        ({"shape": [1] * 6, "data": []}, b"", ShapeMismatch, "is no list of up to 5 lengths"),
        ({"data": [1]}, b"", ShapeMismatch, r"has 1 elements; its shape \[2\] says 2"),
        ({"data": [[1], [2, 3]]}, b"", ShapeMismatch, "no numbers in lists of equal length"),
        ({"data": [1, None]}, b"", ShapeMismatch, "no numbers in lists"),
        ({"data": [1.5, 1], "datatype": "UINT8"}, b"", ShapeMismatch, "no whole numbers"),
        ({"data": [300, 1], "datatype": "UINT8"}, b"", ShapeMismatch, "do not fit into UINT8"),
        ({"data": [2, 1], "datatype": "BOOL"}, b"", ShapeMismatch, "do not fit into BOOL"),
        ({"data": [1, 2], "datatype": "FP16"}, b"", UnsupportedMedia, "no form in JSON"),
        ({"data": [1, 2], "datatype": "STRING"}, b"", UnsupportedMedia, "not one of BOOL"),
        ({"data": ["a", 1], "datatype": "BYTES"}, b"", MalformedRequest, "else than texts"),
        ({"data": ["a"], "datatype": "BYTES"}, b"", ShapeMismatch, "has 1 elements"),
        ({"data": [1, 2]}, b"more", MalformedRequest, "4 bytes follow the last raw tensor"),
        ({"parameters": 3, "data": []}, b"", MalformedRequest, "parameters is no object"),
        (
            {"parameters": {"binary_data_size": "8"}},
            b"12345678",
            MalformedRequest,
            "is no number of bytes",
        ),
        (
            {"parameters": {"binary_data_size": 8}},
            b"1234",
            MalformedRequest,
            "8, and 4 bytes are left",
        ),
        (
            {"parameters": {"binary_data_size": 4}},
            b"1234",
            ShapeMismatch,
            "has 8 bytes; its binary_data_size is 4",
        ),
        (
            {"datatype": "BYTES", "parameters": {"binary_data_size": 6}},
            b"\1\0\0\0a\2",
            MalformedRequest,
            "cut short in its element 1",
        ),
        (
            {"datatype": "BYTES", "parameters": {"binary_data_size": 6}},
            b"\2\0\0\0bc",
            ShapeMismatch,
            "has 1 elements",
        ),
        ({"datatype": "BYTES", "shape": [10], "data": []}, b"", PayloadTooLarge, "limit of 9 "),
        (
            {"datatype": "BYTES", "parameters": {"binary_data_size": 40}},
            bytes(40),
            ShapeMismatch,
            "has 3 elements",
        ),
        (
            {"parameters": {"shared_memory_region": "a"}},
            b"",
            InvalidParameter,
            "extension that this server does not have",
        ),
    ],
)
def test_a_broken_tensor_is_refused(
    entry: dict[str, Any], raw: bytes, error: type[VAEError], says: str
) -> None:
    with pytest.raises(error, match=says):
        parse_one(entry, raw)


TENSOR = {"name": "images", "shape": [1], "datatype": "FP32", "data": [1]}


@pytest.mark.parametrize(
    ("document", "length", "error", "says"),
    [
        (b"{", None, MalformedRequest, "is not JSON"),
        ([1], None, MalformedRequest, "no object with inputs"),
        ({}, None, MalformedRequest, "no object with inputs"),
        ({"inputs": {}}, None, MalformedRequest, "no list of objects"),
        ({"inputs": [1]}, None, MalformedRequest, "no list of objects"),
        ({"inputs": [TENSOR, TENSOR]}, None, InvalidParameter, "given twice"),
        ({"inputs": [{**TENSOR, "name": "imges"}]}, None, InvalidParameter, "mean 'images'"),
        ({"inputs": [{**TENSOR, "name": "q"}]}, None, InvalidParameter, "has images, latents"),
        ({"inputs": [], "outputs": 3}, None, MalformedRequest, "outputs is no list"),
        (
            {"inputs": [], "outputs": [{"name": "a"}, {"name": "a"}]},
            None,
            InvalidParameter,
            "asked for twice",
        ),
        (
            {"inputs": [], "outputs": [{"name": "a", "parameters": {"classification": 3}}]},
            None,
            InvalidParameter,
            "classification is of an extension",
        ),
        ({"inputs": []}, b"1e3", MalformedRequest, "is no number of bytes"),
        ({"inputs": []}, b"99999", MalformedRequest, "up to the body's"),
    ],
)
def test_a_broken_request_is_refused(
    document: Any, length: bytes | None, error: type[VAEError], says: str
) -> None:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(error, match=says):
        parse_inference(data, length, TAKES, max_items=9)


def test_other_members_are_left_alone() -> None:
    document = {"inputs": [], "model_name": "kserve sends it", "id": 7, "parameters": None}
    found = parse_inference(json.dumps(document).encode(), None, TAKES, max_items=9)
    assert (found.id, found.parameters, found.outputs, found.is_binary) == ("7", {}, None, False)


def test_an_answer_is_json_with_what_is_raw_behind_it() -> None:
    tensors = [
        ("a", "FP64", np.array([[1.0, np.nan]])),
        ("b", "BYTES", np.array(["é", ""])),
        ("c", "BOOL", np.array([True])),
    ]
    whole, length = write_inference({"id": "x"}, tensors, lambda name: False)
    assert length is None
    a, b, c = json.loads(whole)["outputs"]
    assert a == {"name": "a", "shape": [1, 2], "datatype": "FP64", "data": [1.0, None]}
    assert (b["data"], c["data"]) == (["é", ""], [True])
    mixed, length = write_inference({}, tensors, lambda name: name != "c")
    assert length is not None
    a, b, c = json.loads(mixed[:length])["outputs"]
    assert a["parameters"] == {"binary_data_size": 16}
    assert "data" not in a
    assert c["data"] == [True]
    assert "parameters" not in c  # a client in C++ takes parameters as a raw tensor
    assert mixed[length + 16 :] == b"\2\0\0\0\xc3\xa9\0\0\0\0"
