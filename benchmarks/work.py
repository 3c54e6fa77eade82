"""Requests of the serving benchmark, and the same work in process, without a server around it.

The work is everything but HTTP: parse parameters and body, read items, compute the operation in
one go, render the answer. It calls the service's own functions.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from app.api.requests import parse_parameters, read_items
from app.compute.inputs import Inputs
from app.compute.request import ComputeRequest
from app.compute.table import compute
from app.operations.parameters import Rendering
from app.operations.table import OPERATIONS
from app.serving.served_model import ServedModel, serve_bundle
from app.settings import PRETRAINED, Settings
from app.wire.bodies import parse_body
from app.wire.items import Body
from app.wire.rendering import render
from benchmarks.media import npy, png
from benchmarks.servers import Exchange
from models.bundle.loading import load_bundle
from models.bundle.repository import Repository
from models.estimators.steps import run_steps

SEED = 1


@dataclass(frozen=True)
class Case:
    """Kind of request."""

    name: str
    operation: str
    form: str
    parameters: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = "application/octet-stream"

    def exchange(self, served: ServedModel) -> Exchange:
        """HTTP request to the service."""
        pairs = "&".join(f"{name}={value}" for name, value in self.pairs())
        path = f"/v1/models/{served.name}/versions/{served.version}/{self.operation}?{pairs}"
        method = OPERATIONS[self.operation].method
        return Exchange(method, path, self.body, self.content_type)

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values of the query."""
        return [("seed", str(SEED)), ("format", self.form), *self.parameters]


def cases(served: ServedModel) -> list[Case]:
    """Requests of one image (or for 16 samples), as a usual client sends them."""
    spec = served.bundle.config.image
    image = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width)).astype(np.uint8)
    image = image if spec.channels == 1 else np.repeat(image[..., None], 3, axis=-1)
    numbers = orjson.dumps({"images": [image.tolist()]})
    array, picture = npy(image), png(image)
    return [
        Case("encode, npy to npy", "encode", "npy", (), array, "application/x-npy"),
        Case("encode, PNG to JSON", "encode", "json", (), picture, "image/png"),
        Case("encode, JSON to JSON", "encode", "json", (), numbers, "application/json"),
        Case("sample, 16 as a PNG", "sample", "png", (("n", "16"),)),
        Case("elbo, npy to JSON", "elbo", "json", (), array, "application/x-npy"),
    ]


def shipped_model() -> ServedModel:
    """First shipped model by name, newest version, loaded as the service loads it."""
    repository = Repository(PRETRAINED)
    name = repository.names()[0]
    return serve_bundle(load_bundle(repository.path_of(name, None)), "cpu")


def in_process(case: Case, served: ServedModel, settings: Settings) -> Callable[[], bytes]:
    """Function that does the case's work once and returns the answer's bytes."""
    operation = OPERATIONS[case.operation]

    def work() -> bytes:
        body = Body()
        if operation.takes:
            body = parse_body(
                case.body,
                case.content_type,
                max_bytes=settings.max_body_bytes,
                max_items=settings.max_items,
                takes=operation.takes,
            )
        parameters = parse_parameters(operation, case.pairs(), body.members, served=served)
        inputs = Inputs()
        if operation.takes:
            stop = threading.Event()
            inputs = read_items(settings, operation, served, body, parameters, stop)
        request = ComputeRequest(operation, served, parameters, seed=SEED, inputs=inputs)
        answer = run_steps(compute(request))
        envelope = {"model": served.name, "version": served.version, "seed": SEED}
        if inputs.preprocessing is not None:
            envelope["preprocessing"] = inputs.preprocessing
            envelope["preprocessing_steps"] = inputs.preprocessing_steps
        options = parameters if isinstance(parameters, Rendering) else Rendering()
        return render(case.form, answer, operation, options, envelope)

    return work
