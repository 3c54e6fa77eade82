"""One inference request of the Open Inference Protocol, answered by the engine as under /v1.

A model of the protocol is one operation of a model: `<model>.<operation>`.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import orjson
from starlette.types import Scope

from app.api.answering import (
    begin_call,
    compute_answer,
    describe_request,
    find_plan,
    prepare,
    render_by,
)
from app.api.body import Incoming, read_body
from app.api.computing import off_loop
from app.api.headers import changing_lines, identity_lines
from app.api.plan import Plan, Plans
from app.api.read_items import INLINE_BYTES
from app.api.reply import Reply
from app.api.service import Call, Service
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.result import Answer
from app.operations.table import Operation
from app.operations.tensors import FORM_PARAMETERS, Tensor, input_tensors, output_tensors
from app.serving.served_model import ServedModel
from app.wire.inference import HEADER_LENGTH, Inference, parse_inference, write_inference
from app.wire.items import Body, Item, Picture
from app.wire.json_bodies import parse_picture
from app.wire.media_types import ANY_TYPE, JSON_TYPE
from app.wire.rendering import to_arrays
from app.wire.tensors import DTYPES, TextOrNumbers
from models.errors import ShapeMismatch, UnsupportedMedia

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
OWN_PARAMETERS = ("binary_data_output", "timeout", "priority", "headers", "content_type")
"""Parameters of the protocol and of its clients, which no operation has; with the prefixes."""
_OWN_PREFIXES = ("sequence_", "triton_")


async def infer(
    service: Service,
    operation: Operation,
    served: ServedModel,
    plans: Plans,
    scope: Scope,
    incoming: Incoming,
    *,
    versioned: bool,
) -> Reply:
    """Answer one inference request; `app.api.answering.answer` explains the arguments.

    Raises:
        VAEError: The request cannot be answered; says why.
    """
    call = begin_call(service, operation, served, plans, scope, incoming)
    asked = await _read(call)
    call.timeout = min(call.timeout, _timeout(asked.parameters))
    body = _body_of(asked, operation)
    call.record.end_parsing()
    plan = find_plan(call, scope["query_string"], body, accept=None)
    _check_form(plan)
    request, work = await prepare(call, plan, body)
    computed = await compute_answer(call, request, work)
    write = partial(_write, request, plan, asked, computed)
    content, length = await render_by(call, work, computed, write)
    lines = identity_lines(served, JSON_TYPE if length is None else ANY_TYPE)
    if length is not None:
        lines += b"%b: %d\r\n" % (_HEADER_LENGTH, length)
    lines += changing_lines(request, computed.warnings, len(content), draws=plan.draws)
    return 200, lines, content


async def _read(call: Call) -> Inference:
    headers, settings = call.record.headers, call.service.settings
    part = call.incoming.next_part
    data = await read_body(headers, part, max_bytes=settings.max_body_bytes)
    header_length = headers.get(_HEADER_LENGTH)
    if header_length == b"0":
        data, header_length = _with_header(call, data)
    takes, most = call.operation.takes, settings.max_items
    read = partial(parse_inference, data, header_length, takes, max_items=most)
    return read() if len(data) <= INLINE_BYTES else await off_loop(call, read)


def _with_header(call: Call, data: bytes) -> tuple[bytes, bytes]:
    """A raw request, which is nothing but the one input, with the JSON that says so.

    Raises:
        UnsupportedMedia: The operation does not take one input.
    """
    declared = input_tensors(call.operation)
    if len(declared) != 1:
        raise UnsupportedMedia(
            f"{call.operation.name} takes {len(declared)} inputs: raw bytes alone do not say "
            f"which. Send JSON before them, and its length in {HEADER_LENGTH}.",
            parameter=HEADER_LENGTH,
            received="0",
        )
    (tensor,) = declared
    _, *sides = shape_of(tensor, call.served)
    count = len(data) // max(1, math.prod(sides) * DTYPES[tensor.datatype].itemsize)
    entry = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": [count, *sides],
        "parameters": {"binary_data_size": len(data)},
    }
    head = orjson.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}})
    return head + data, b"%d" % len(head)


def shape_of(tensor: Tensor, served: ServedModel) -> list[int]:
    """The shape of a tensor of a model; -1 is any length."""
    return tensor.shape(served.bundle.config.image.shape, served.vae.latent_shape)


def _timeout(parameters: Mapping[str, Any]) -> float:
    """Seconds of the parameter `timeout`, which is in microseconds.

    Raises:
        InvalidParameter: It is no positive number.
    """
    given = parameters.get("timeout")
    if given is None:
        return math.inf
    if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
        raise InvalidParameter(
            "timeout is no positive number of microseconds. Send timeout=30000000.",
            parameter="timeout",
            received=given,
            suggestion=30000000,
        )
    return given / 1e6


def _body_of(asked: Inference, operation: Operation) -> Body:
    """The items and the parameters of a request.

    Raises:
        ShapeMismatch: It has no input.
    """
    images, latents = asked.inputs.get("images"), asked.inputs.get("latents")
    if operation.takes and images is None and latents is None:
        raise ShapeMismatch(
            f"The request has no input {' or '.join(operation.takes)}. GET "
            "/v2/models/<model>.<operation> describes the inputs.",
            parameter="inputs",
            allowed=operation.takes,
        )
    return Body(
        images=[] if images is None else _pictures(images),
        latents=[] if latents is None else [_numbers(latents)],
        members={name: v for name, v in asked.parameters.items() if not _is_own(name)},
    )


def _is_own(name: str) -> bool:
    return name in OWN_PARAMETERS or name.startswith(_OWN_PREFIXES)


def _pictures(tensor: TextOrNumbers) -> list[Item]:
    """Images of numbers, or files: their bytes, or base64 of them where they came in JSON."""
    if isinstance(tensor, np.ndarray):
        return [tensor]
    return [
        Picture(entry) if isinstance(entry, bytes) else parse_picture(index, entry)
        for index, entry in enumerate(tensor)
    ]


def _numbers(tensor: TextOrNumbers) -> np.ndarray:
    if isinstance(tensor, np.ndarray):
        return tensor
    raise UnsupportedMedia(
        "latents are BYTES, and are read as numbers. Send FP32.",
        parameter="latents",
        received="BYTES",
        suggestion="FP32",
    )


def _check_form(plan: Plan) -> None:
    """Refuse parameters that choose a form which tensors do not have.

    Raises:
        InvalidParameter: One of them is given.
    """
    given = sorted(plan.parameters.model_fields_set & FORM_PARAMETERS)
    if given:
        raise InvalidParameter(
            f"{given[0]} chooses a form of /v1; here outputs are tensors. Leave {given[0]} out.",
            parameter=given[0],
        )


def _write(
    request: ComputeRequest[Any], plan: Plan, asked: Inference, computed: Answer
) -> tuple[bytes, int | None]:
    """The answer's body, and how many bytes of it are JSON."""
    operation, served = request.operation, request.served
    envelope = describe_request(request, draws=plan.draws)
    arrays = to_arrays(computed, operation, plan.rendering, envelope)
    if not computed.warnings:
        del arrays["warnings"]
    tensors = {name: (kind, array) for name, kind, array in _tensors(operation, arrays)}
    if asked.outputs is not None:
        _check_outputs(operation, served, asked.outputs, tensors)
        tensors = {name: tensors[name] for name in asked.outputs}
    facts = {"model_name": f"{served.name}.{operation.name}", "model_version": str(served.version)}
    if asked.id is not None:
        facts["id"] = asked.id
    wanted = asked.outputs or {}

    def is_raw(name: str) -> bool:
        raw = wanted.get(name)
        return asked.is_binary if raw is None else raw

    return write_inference(
        {**facts, "parameters": _facts(arrays)},
        ((name, kind, array) for name, (kind, array) in tensors.items()),
        is_raw,
    )


def _tensors(
    operation: Operation, arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, np.ndarray]]:
    """The declared outputs that the answer has; a field that is null as a whole is none."""
    for tensor in output_tensors(operation.answer):
        array = arrays.get(tensor.name)
        if array is None or array.ndim < len(tensor.axes):
            continue
        if array.dtype == np.uint8:
            yield tensor.name, "UINT8", array
        elif tensor.datatype == "BYTES":
            yield tensor.name, "BYTES", array
        elif tensor.datatype != "BOOL" or array.dtype == bool:
            yield tensor.name, tensor.datatype, array.astype(DTYPES[tensor.datatype], copy=False)


def _check_outputs(
    operation: Operation,
    served: ServedModel,
    wanted: Mapping[str, Any],
    tensors: Mapping[str, Any],
) -> None:
    """Refuse outputs that the answer does not have.

    Raises:
        InvalidParameter: Names one.
    """
    for name in wanted:
        if name not in tensors:
            declared = [tensor.name for tensor in output_tensors(operation.answer)]
            fault = "is null in this answer" if name in declared else "is no output"
            raise InvalidParameter(
                f"{name} {fault} of {served.name}.{operation.name}. It has {', '.join(tensors)}.",
                parameter="outputs",
                received=name,
                allowed=list(tensors),
            )


def _facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What all items share: single values that are not null."""
    values = {
        name: array.item()
        for name, array in arrays.items()
        if array.ndim == 0 and name not in ("model", "version")
    }
    return {name: value for name, value in values.items() if value not in ("", None)}
