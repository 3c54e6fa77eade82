"""Bodies of the Open Inference Protocol: an inference request, and its answer.

JSON comes first, with its length in a header where raw tensors follow it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.errors import InvalidParameter, MalformedRequest
from app.wire.rendering import to_json
from app.wire.tensors import RawTensors, TextOrNumbers, find_object, read_tensor, to_bytes
from models.errors import closest

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON; raw tensors follow these."""


@dataclass(frozen=True)
class Inference:
    """What an inference request says."""

    id: str | None
    """The caller's name for it, which the answer repeats."""
    parameters: Mapping[str, Any]
    inputs: Mapping[str, TextOrNumbers]
    outputs: Mapping[str, bool | None] | None
    """Names of the outputs that are asked for, and whether each is raw; None is all of them."""
    is_binary: bool
    """Whether outputs are raw of which the request does not say."""


def parse_inference(
    data: bytes, header_length: bytes | None, takes: Collection[str], *, max_items: int
) -> Inference:
    """Parse the body of an inference request.

    Args:
        data: The body.
        header_length: The header `Inference-Header-Content-Length`, if there is one.
        takes: The inputs that there are.
        max_items: Largest number of pictures in a tensor of BYTES.

    Raises:
        MalformedRequest: JSON or sizes are at fault.
        InvalidParameter: An input is unknown or given twice, or an extension is asked for.
        ShapeMismatch: A tensor does not have as many elements as its shape says.
        UnsupportedMedia: A tensor's datatype is unknown, or has no form in JSON.
        PayloadTooLarge: A tensor of BYTES has too many elements.
    """
    length = len(data) if header_length is None else _length(header_length, len(data))
    document = _load(data[:length] if length < len(data) else data)
    raw = RawTensors(memoryview(data)[length:], max_items)
    inputs: dict[str, TextOrNumbers] = {}
    for entry in _objects(document, "inputs"):
        name = _name(entry, "inputs")
        if name in inputs:
            raise InvalidParameter(
                f"The input {name} is given twice. Give it once.", parameter=name
            )
        if name not in takes:
            raise _unknown_input(name, takes)
        inputs[name] = read_tensor(name, entry, raw)
    if raw.taken != len(raw.data):
        raise MalformedRequest(
            f"{len(raw.data) - raw.taken} bytes follow the last raw tensor. Give each raw input "
            "its binary_data_size.",
            parameter="binary_data_size",
        )
    parameters = find_object(document, "parameters")
    given_id = document.get("id")
    return Inference(
        id=None if given_id is None else str(given_id),
        parameters=parameters,
        inputs=inputs,
        outputs=_outputs(document),
        is_binary=parameters.get("binary_data_output") is True,
    )


def _length(header: bytes, size: int) -> int:
    if header.isdigit() and len(header) <= 20 and int(header) <= size:
        return int(header)
    received = header.decode("latin-1")[:60]
    raise MalformedRequest(
        f"{HEADER_LENGTH}: {received} is no number of bytes up to the body's {size}. Send the "
        "length of the JSON at the body's beginning.",
        parameter=HEADER_LENGTH,
        received=received,
        limit=size,
    )


def _load(data: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(
            f"The request is not JSON: {error}. Send JSON in UTF-8; where raw tensors follow it, "
            f"say its length in {HEADER_LENGTH}.",
            parameter="body",
        ) from error
    if not isinstance(document, dict) or "inputs" not in document:
        raise MalformedRequest(
            'The request is no object with inputs. Send {"inputs": [...]}; an operation without '
            'inputs takes {"inputs": []}.',
            parameter="inputs",
        )
    return document


def _objects(document: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    entries = document[name]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise MalformedRequest(
            f'{name} is no list of objects. Send {{"{name}": [{{"name": ...}}]}}.', parameter=name
        )
    return entries


def _name(entry: Mapping[str, Any], where: str) -> str:
    name = entry.get("name")
    if not isinstance(name, str):
        raise MalformedRequest(f"One of the {where} has no name. Give it one.", parameter=where)
    return name[:60]


def _unknown_input(name: str, takes: Collection[str]) -> InvalidParameter:
    meant = closest(name, takes)
    fix = f"Did you mean {meant!r}?" if meant else f"It has {', '.join(takes) or 'none'}."
    return InvalidParameter(
        f"The model has no input {name!r}. {fix}",
        parameter=name,
        allowed=list(takes),
        suggestion=meant,
    )


def _outputs(document: Mapping[str, Any]) -> dict[str, bool | None] | None:
    if not document.get("outputs"):
        return None
    found: dict[str, bool | None] = {}
    for entry in _objects(document, "outputs"):
        name = _name(entry, "outputs")
        if name in found:
            raise InvalidParameter(
                f"The output {name} is asked for twice. Ask once.", parameter=name
            )
        wanted = find_object(entry, "parameters").get("binary_data")
        found[name] = wanted if isinstance(wanted, bool) else None
    return found


def write_inference(
    facts: Mapping[str, Any],
    tensors: Iterable[tuple[str, str, np.ndarray]],
    is_raw: Callable[[str], bool],
) -> tuple[bytes, int | None]:
    """Write the body of an answer.

    Args:
        facts: Its members but `outputs`.
        tensors: Name, datatype and array of each output.
        is_raw: Whether an output of this name goes behind the JSON.

    Returns:
        The body, and how many bytes of it are JSON; None if all are.
    """
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, datatype, array in tensors:
        entry: dict[str, Any] = {"name": name, "shape": array.shape, "datatype": datatype}
        if is_raw(name):
            raw.append(to_bytes(datatype, array))
            entry["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            entry["data"] = array.reshape(-1)
            if datatype == "BYTES":
                entry["data"] = entry["data"].tolist()
        outputs.append(entry)
    head = to_json({**facts, "outputs": outputs})
    return b"".join((head, *raw)), len(head) if raw else None
