"""The VAE of a diffusion pipeline that runs elsewhere: `POST .../remote/decode` and `encode`.

They answer as `diffusers.utils.remote_utils` asks: raw bytes of a tensor in the body, its shape and
type in the query, and a picture or a tensor back. What computes is the operation of that name.
"""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.answering import begin_call, compute_answer, render_by
from app.api.body import Received, read_body
from app.api.computing import off_loop
from app.api.headers import changing_lines, identity_lines
from app.api.limits import check_limits
from app.api.plan import Plans
from app.api.read_items import read_items
from app.api.read_parameters import parse_parameters
from app.api.record import record_of
from app.api.reply import WholeReply, send_reply
from app.api.routing import MODEL_PATHS, find_model, make_route
from app.api.service import Call, Service
from app.compute.inputs import Inputs
from app.compute.labels import check_label, find_label
from app.compute.latents import check_latents
from app.compute.pipeline_latents import scaled, unpack, unscaled
from app.compute.request import ComputeRequest
from app.errors import InvalidParameter
from app.operations.parameters import DecodeParameters, EncodeParameters
from app.operations.remote import REMOTE_OPERATIONS
from app.operations.result import Answer
from app.operations.table import OPERATIONS
from app.serving.served_model import ServedModel
from app.wire.bodies import parse_body
from app.wire.items import Body
from app.wire.raw_tensor import TENSOR_TYPE, TensorType, read_tensor, write_tensor
from models.errors import OutOfSupport, ShapeMismatch
from models.images import to_jpeg, to_png, to_uint8

Rendered = tuple[bytes, str, dict[str, str]]
"""Content, media type, and headers beside the usual ones."""
_PACKED_AXES = 3
_NEVER = threading.Event()


def remote_vae_routes(service: Service) -> list[Route]:
    """Two paths for each model, and for each version of one."""
    return [
        make_route("POST", f"{MODEL_PATHS[scope]}/remote/{name}", _RemoteVAE(service, name))
        for name in REMOTE_OPERATIONS
        for scope in ("model", "version")
    ]


class _RemoteVAE:
    """The app of one path."""

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.operation = service, OPERATIONS[name]
        self.declared = REMOTE_OPERATIONS[name]
        decodes = name == "decode"
        self.read: Callable[..., Inputs] = read_latents if decodes else read_pictures
        self.render: Callable[..., Rendered] = render_pictures if decodes else render_latents
        self.parameters = DecodeParameters if decodes else EncodeParameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request over ASGI; what it raises is answered by the app's handler."""
        await send_reply(await self.answer(scope, Received(receive)), send)

    async def answer(self, scope: Scope, incoming: Received) -> WholeReply:
        """Answer a request.

        Raises:
            VAEError: The request cannot be answered; says why.
        """
        service, operation, record = self.service, self.operation, record_of(scope)
        record.operation = operation.name
        served = find_model(service.registry, scope["path_params"], scope["path"])
        call = begin_call(service, operation, served, Plans(), scope, incoming)
        limit = service.settings.max_body_bytes
        data = await read_body(record.headers, incoming.next_part, max_bytes=limit)
        record.end_parsing()
        asked = self._asked(scope["query_string"], served)
        parameters = self.parameters(label=asked.label)
        service.registry.check_needs(served, operation, parameters)
        label = find_label(served, asked.label)
        started_at = time.perf_counter()
        try:
            inputs = await off_loop(call, partial(self.read, call, asked, data))
        finally:
            record.end("read", started_at)
        request = ComputeRequest(operation, served, parameters, 0, label, inputs)
        if inputs.latents is not None:
            check_label(request)
        work = check_limits(service.settings, request)
        computed = await compute_answer(call, request, work)
        write = partial(self.render, call, asked, computed)
        content, media_type, more = await render_by(call, work, computed, write)
        lines = identity_lines(served, media_type, more)
        lines += changing_lines(request, computed.warnings, len(content), draws=False)
        return 200, lines, content

    def _asked(self, query: bytes, served: ServedModel) -> Any:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        sides = [value for name, value in pairs if name == "shape"]
        rest = [(name, value) for name, value in pairs if name != "shape"]
        return parse_parameters(
            self.declared, rest, {"shape": sides} if sides else {}, served=served
        )


# decode --------------------------------------------------------------------------------------


def read_latents(call: Call, asked: Any, data: bytes) -> Inputs:
    """The latents of a body, as the decoder takes them.

    Raises:
        InvalidParameter: The query lacks the tensor's shape.
        ShapeMismatch, OutOfSupport: The latents are not this model's.
    """
    served = call.served
    if asked.shape is None:
        shape = (1, *served.vae.latent_shape)
        fix = "&".join(f"shape={side}" for side in shape)
        raise InvalidParameter(
            f"The query lacks the shape of the latents. Add {fix}&dtype=float32.",
            parameter="shape",
            suggestion=fix,
        )
    latents = read_tensor(data, asked.shape, asked.dtype)
    if latents.ndim == _PACKED_AXES and asked.height is not None and asked.width is not None:
        latents = unpack(latents, served, (asked.height, asked.width))
    latents = check_latents(latents, served.vae)
    plain = unscaled(
        latents,
        served,
        factor=asked.scaling_factor,
        shift=asked.shift_factor,
        by_bundle=asked.do_scaling,
    )
    return Inputs(latents=check_latents(plain, served.vae))


def render_pictures(call: Call, asked: Any, computed: Answer) -> Rendered:
    """Decoded pictures as `output_type` and the Accept header ask.

    Raises:
        InvalidParameter: One picture file cannot hold several pictures.
    """
    unit: np.ndarray = computed.columns["images"]
    accept = call.record.headers.get(b"accept", b"").decode("latin-1").strip().lower()
    if asked.output_type == "pt" and asked.partial_postprocess:
        pictures = to_uint8(unit).transpose(0, 2, 3, 1)
        return _tensor(pictures[..., 0] if pictures.shape[-1] == 1 else pictures, "uint8")
    if asked.output_type == "pt":
        return _tensor(unit * 2 - 1, asked.dtype)
    if accept == TENSOR_TYPE:  # diffusers asks so where it makes the picture itself
        return _tensor(unit, asked.dtype)
    if len(unit) > 1:
        raise InvalidParameter(
            f"output_type=pil gives one picture, and the body holds {len(unit)} latents. Send one "
            "latent, or output_type=pt.",
            parameter="output_type",
            received="pil",
            suggestion="pt",
        )
    (picture,) = to_uint8(unit)
    if asked.image_format == "png":
        return to_png(picture), "image/png", {}
    return to_jpeg(picture), "image/jpeg", {}


# encode --------------------------------------------------------------------------------------


def read_pictures(call: Call, asked: Any, data: bytes) -> Inputs:
    """The pictures of a body: of a tensor if the query has its shape, else of a picture file.

    Raises:
        InputError: They cannot be read, or are not this model's.
    """
    served, settings = call.served, call.service.settings
    if asked.shape is None:
        body = parse_body(
            data,
            call.record.body_type,
            max_bytes=settings.max_body_bytes,
            max_items=settings.max_items,
            takes=call.operation.takes,
        )
    else:
        pictures = read_tensor(data, asked.shape, asked.dtype)
        _check_pictures(pictures, served)
        unit = pictures / 2 + np.float32(0.5)
        if served.bundle.config.image.values == "unit":
            return Inputs(x=unit)
        body = Body(images=[unit])
    return read_items(settings, call.operation, served, body, EncodeParameters(), _NEVER)


def _check_pictures(pictures: np.ndarray, served: ServedModel) -> None:
    shape = served.bundle.config.image.shape
    if pictures.ndim != 4 or pictures.shape[1:] != shape:
        raise ShapeMismatch(
            f"The tensor has the shape {list(pictures.shape)}; this model takes (N, "
            f"{', '.join(map(str, shape))}). Resize the pictures, or send a PNG, which the service "
            "resizes.",
            parameter="shape",
            received=list(pictures.shape),
            allowed=["N", *shape],
        )
    if not (np.abs(pictures) <= 1).all():  # NaN too
        raise OutOfSupport(
            "The tensor holds numbers outside -1..1, where -1 is black and 1 is white. Send what "
            "VaeImageProcessor.preprocess gives.",
            parameter="body",
            allowed=["-1..1"],
        )


def render_latents(call: Call, asked: Any, computed: Answer) -> Rendered:
    """The means of q(z|x) as a tensor."""
    mean: np.ndarray = computed.columns["mean"]
    return _tensor(scaled(mean, factor=asked.scaling_factor, shift=asked.shift_factor), asked.dtype)


def _tensor(values: np.ndarray, dtype: TensorType) -> Rendered:
    content = write_tensor(values, dtype)
    return content, TENSOR_TYPE, {"shape": json.dumps(list(values.shape)), "dtype": dtype}
