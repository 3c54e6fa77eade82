"""What a bundle keeps of held-out pictures, for a page: `examples` and `map` of a model."""

import asyncio
import base64
import hashlib
import io
from collections.abc import Callable, Sequence

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.headers import caching_headers, etag_matches
from app.api.model_descriptions import Example, ExamplesAnswer, MapAnswer
from app.api.record import record_of
from app.api.routing import MODEL_PATHS, find_model, make_route
from app.errors import InvalidParameter
from app.operations.table import Need
from app.serving.registry import MAX_NAMED, Registry, listed
from app.serving.served_model import ServedModel
from app.wire.media_types import MEDIA_TYPES
from app.wire.negotiation import negotiate
from app.wire.rendering import to_json
from models import __version__
from models.errors import UnsupportedOperation
from models.images.grid import drawn, grid
from models.images.writing import to_png, to_uint8

COLUMNS = 8
"""Of the PNG, whose pictures touch: a page cuts it by their size."""

Render = Callable[[ServedModel, str], bytes]


def held_out_routes(registry: Registry) -> list[Route]:
    """The examples and the map of a model, and of one version of it."""
    return [
        *_routes(registry, "examples", ("json", "png", "npy", "npz"), render_examples),
        *_routes(registry, "map", ("json",), render_map),
    ]


def _routes(registry: Registry, need: Need, formats: Sequence[str], render: Render) -> list[Route]:
    """Two routes to what a bundle's file for a need holds."""

    async def answer(request: Request) -> Response:
        record = record_of(request.scope)
        record.operation = "models"
        served = find_model(registry, request.path_params, request.url.path)
        record.model = served.name
        form = negotiate(
            request.headers.get("accept"), formats, wanted=_read_format(request, need, formats)
        )
        check_kept(registry, served, need)
        tag = f"{served.bundle.digest}|{__version__}|{need}|{form}"
        etag = f'"{hashlib.sha256(tag.encode()).hexdigest()[:32]}"'
        headers = caching_headers(etag, versioned="version" in request.path_params)
        given = request.headers.get("if-none-match")
        if etag_matches(None if given is None else given.encode("latin-1"), etag):
            return Response(status_code=304, headers=headers)
        content = await asyncio.to_thread(render, served, form)
        return Response(content, headers=headers, media_type=MEDIA_TYPES[form])

    prefixes = MODEL_PATHS["model"], MODEL_PATHS["version"]
    return [make_route("GET", f"{prefix}/{need}", answer) for prefix in prefixes]


def _read_format(request: Request, page: str, formats: Sequence[str]) -> str | None:
    """The value of `format`, the only parameter.

    Raises:
        InvalidParameter: There is another one, or another value.
    """
    for name, value in request.query_params.multi_items():
        if name != "format":
            raise InvalidParameter(
                f"{page} has no parameter {name[:60]!r}. It has format.",
                parameter=name[:60],
                allowed=["format"],
            )
        if value not in formats:
            raise InvalidParameter(
                f"format={value[:60]} is not one of {', '.join(formats)}. Send format=json.",
                parameter="format",
                received=value[:60],
                allowed=formats,
                suggestion="json",
            )
    return request.query_params.get("format")


def check_kept(registry: Registry, served: ServedModel, need: Need) -> None:
    """Refuse what a model's bundle does not have.

    Raises:
        UnsupportedOperation: Says why, and which served models have it.
    """
    if need not in served.lacks:
        return
    highest = {name: versions[max(versions)] for name, versions in registry.models.items()}
    able = sorted(name for name, other in highest.items() if need not in other.lacks)[:MAX_NAMED]
    fix = "No other served model has."
    if able:
        verb = "has" if len(able) == 1 else "have"
        fix = f"{listed(able, 'and')} {verb}: /v1/models/{able[0]}/{need}."
    raise UnsupportedOperation(
        f"{served.name} has no {need}: {served.lacks[need]}. {fix}",
        parameter="model",
        received=served.name,
        allowed=able or None,
        suggestion=able[0] if able else None,
    )


def render_map(served: ServedModel, form: str) -> bytes:
    """A bundle's map as JSON, of a model that has the need."""
    kept = served.bundle.latent_map
    assert kept is not None  # the need was checked
    fields = kept.model_dump(mode="json", exclude={"format_version"})
    answer = MapAnswer(model=served.name, version=served.version, **fields)
    return to_json(answer.model_dump(mode="json"))


def render_examples(served: ServedModel, form: str) -> bytes:
    """A bundle's held-out pictures as JSON, PNG, npy or npz, of a model that has the need."""
    kept = served.examples
    if form == "json":
        return _json(served)
    if form == "png":
        return to_png(grid(to_uint8(kept.unit), COLUMNS, padding=0), info=drawn())
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, kept.unit, allow_pickle=False)
    else:
        np.savez(
            buffer,
            allow_pickle=False,
            images=kept.unit,
            label=np.asarray([label or "" for label in kept.labels]),
            model=np.asarray(served.name),
            version=np.asarray(served.version),
            source=np.asarray(kept.source),
        )
    return buffer.getvalue()


def _json(served: ServedModel) -> bytes:
    kept = served.examples
    pictures = to_uint8(kept.unit)
    answer = ExamplesAnswer(
        model=served.name,
        version=served.version,
        source=kept.source,
        examples=[
            Example(index=index, label=label, png=base64.b64encode(to_png(picture)).decode())
            for index, (label, picture) in enumerate(zip(kept.labels, pictures, strict=True))
        ],
    )
    return to_json(answer.model_dump(mode="json"))
