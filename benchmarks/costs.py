"""What operations cost: processor time of an image, and memory of a worker.

Processor time is that of the whole server for each request, the event loop's too, and other
processes do not change it much. Pictures are samples of the model, as others would tell little of
an estimate that ends at a tolerance. Not measured: GPUs, networks, large pictures.
"""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from app.settings import PRETRAINED
from benchmarks.load import measure
from benchmarks.media import npy
from benchmarks.servers import Connection, Exchange, Server, ask_once
from benchmarks.sides import ours, running

MODEL, LABELLED, LATENTS = "mnist", "mnist-labelled", 40
MANY = 100
"""Images of a large request."""
LONGEST_SECONDS = 12.0
"""A large request takes about so long at most; it has fewer images otherwise."""


@dataclass(frozen=True)
class Cost:
    """What an operation costs."""

    operation: str
    one: float
    """Processor seconds of a request of one image."""
    many: float
    """Processor seconds of an image, of a request of `count`."""
    count: int


def operation_costs(*, seconds: float) -> Iterator[Cost]:
    """Each operation of the mnist bundle by its defaults, each for so long."""
    with running([ours(PRETRAINED, MODEL, latents=LATENTS)]) as [(_, server)]:
        server.resume()
        pictures = _pictures(server)
        for name, ask in _requests(pictures).items():
            one = _processor_seconds(server, ask(1), seconds, is_first=True)
            count = int(max(2, min(MANY, LONGEST_SECONDS / one)))
            yield Cost(name, one, _processor_seconds(server, ask(count), seconds) / count, count)


def _pictures(server: Server) -> np.ndarray:
    sample = Exchange("GET", f"/v1/models/{MODEL}/sample?n={MANY}&seed=1&format=npy&output=sample")
    status, body = ask_once(server.port, sample)
    if status != 200:
        raise RuntimeError(f"Samples were answered {status}: {body[:300]!r}")
    found: np.ndarray = np.load(io.BytesIO(body))
    return np.rint(found * 255).astype(np.uint8) if found.dtype.kind == "f" else found


def _requests(pictures: np.ndarray) -> dict[str, Callable[[int], Exchange]]:
    """The request of each operation for so many images."""
    latents = np.random.default_rng(1).standard_normal((MANY, LATENTS)).astype(np.float32)
    npz = (("Accept", "application/x-npz"),)

    def post(path: str, items: np.ndarray) -> Exchange:
        return Exchange("POST", f"/v1/models/{path}", npy(items), "application/x-npy", npz)

    def of_images(
        operation: str, model: str = MODEL, num_samples: int | None = None
    ) -> Callable[[int], Exchange]:
        drawn = "" if num_samples is None else f"&num_samples={num_samples}"
        return lambda n: post(f"{model}/{operation}?seed=1&pixel_max=255{drawn}", pictures[:n])

    return {
        "encode": of_images("encode"),
        "decode": lambda n: post(f"{MODEL}/decode", latents[:n]),
        "reconstruct": of_images("reconstruct"),
        "sample": lambda n: Exchange("GET", f"/v1/models/{MODEL}/sample?seed=1&n={n}", headers=npz),
        "interpolate": lambda n: post(f"{MODEL}/interpolate?steps={max(2, n)}", latents[:2]),
        "classify": of_images("classify", LABELLED),
        "elbo": of_images("elbo"),
        "anomaly": of_images("anomaly"),
        "log-likelihood, K = 1,000": of_images("log-likelihood", num_samples=1000),
        "log-likelihood": of_images("log-likelihood"),
    }


def _processor_seconds(
    server: Server, exchange: Exchange, seconds: float, *, is_first: bool = False
) -> float:
    """Of one request; the first of its kind is asked once before."""
    wire = exchange.wire()
    with Connection(server.port, timeout=300) as connection:
        if is_first:
            connection.ask(wire)
        before, ends_at, asked = server.processor_seconds(), time.perf_counter() + seconds, 0
        while not asked or time.perf_counter() < ends_at:
            status, body = connection.ask(wire)
            asked += 1
            if status != 200:
                raise RuntimeError(f"{exchange.target} was answered {status}: {body[:300]!r}")
        return (server.processor_seconds() - before) / asked


def memory_bytes(workers: int) -> int:
    """Memory of a server with so many workers, all shipped bundles, after some work."""
    side = ours(PRETRAINED, MODEL, latents=LATENTS, workers=workers)
    with running([side]) as [(_, server)]:
        server.resume()
        measure(server.port, side.requests["encode"], connections=8 * workers, seconds=2.0)
        return server.memory_bytes()
