"""The servers that are measured side by side, each with its own form of the same requests."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from subprocess import run

import numpy as np
from PIL import Image

from benchmarks.media import npy, png
from benchmarks.servers import (
    ROOT,
    Exchange,
    Server,
    ask_once,
    free_port,
    start,
    vae_serve,
    wait_until_ready,
)

OURS = "vae-serve"
LIBRARIES = {"LitServe": "litserve", "BentoML": "bentoml", "mosec": "mosec"}
TOLERANCE = 1e-4
"""Largest difference of two servers' latents: other matrix kernels round otherwise."""

Command = tuple[list[str], Mapping[str, str]]


@dataclass(frozen=True)
class Side:
    """Server under measurement: how it starts, and its request of each case by name."""

    name: str
    command: Callable[[int], Command]
    ready: str
    requests: Mapping[str, Exchange]
    has_network: bool = True


@contextmanager
def running(sides: Sequence[Side]) -> Iterator[list[tuple[Side, Server]]]:
    """Start servers on free ports, all at once, and pause them; stop them at the end."""
    pairs: list[tuple[Side, Server]] = []
    try:
        for side in sides:
            port = free_port()
            command, environment = side.command(port)
            pairs.append((side, start(side.name, command, port=port, environment=environment)))
        for side, server in pairs:
            wait_until_ready(server, side.ready)
        for _, server in pairs:
            server.pause()
        yield pairs
    finally:
        for _, server in pairs:
            server.stop()


def picture() -> np.ndarray:
    """Black and white, 28 x 28: binarised alike by every server."""
    return (np.random.default_rng(0).random((28, 28)) > 0.8).astype(np.uint8) * 255


def latent(size: int) -> np.ndarray:
    """One latent, (1, size)."""
    return np.random.default_rng(1).standard_normal((1, size)).astype(np.float32)


def ours(
    repository: Path, model: str, *, latents: int, workers: int = 1, **settings: object
) -> Side:
    """The service, from a model repository; `settings` as in app/settings.py."""
    name = OURS if workers == 1 else f"{OURS}, {workers} workers"
    at = f"/v1/models/{model}"
    requests = {
        "encode": Exchange("POST", f"{at}/encode?format=json", png(picture()), "image/png"),
        "decode": Exchange(
            "POST", f"{at}/decode?format=npy", npy(latent(latents)), "application/x-npy"
        ),
        "sample": Exchange("GET", f"{at}/sample?n=1&seed=1&format=png"),
    }
    return Side(
        name,
        lambda port: vae_serve(port, repository, **{"workers": workers, **settings}),
        "/readyz",
        requests,
    )


def by_hand(weights: Path, *, latents: int) -> list[Side]:
    """FastAPI servers as one would write them, in this Python."""
    body = npy(latent(latents))
    encode = Exchange("POST", "/encode", png(picture()), "image/png")
    requests = {
        "encode": encode,
        "decode": Exchange("POST", "/decode", body, "application/x-npy"),
        "sample": Exchange("GET", "/sample?seed=1"),
    }

    def starts(module: str) -> Callable[[int], Command]:
        return lambda port: (_module(sys.executable, module, port, weights), {})

    return [
        Side("FastAPI, PNG only", starts("decode_only"), "/", {"encode": encode}, False),
        Side("FastAPI, naive", starts("naive"), "/", requests),
        Side("FastAPI, batched", starts("hand_batched"), "/", requests),
    ]


def libraries(python: str, weights: Path) -> list[Side]:
    """Serving libraries that the peers' Python has."""
    image = png(picture())
    text = base64.b64encode(image).decode()
    one, many = (json.dumps(body).encode() for body in ({"picture": text}, {"pictures": [text]}))
    known = {
        "LitServe": ("/health", Exchange("POST", "/encode", one, "application/json")),
        "BentoML": ("/readyz", Exchange("POST", "/run", many, "application/json")),
        "mosec": ("/", Exchange("POST", "/inference", image, "image/png")),
    }

    def starts(package: str) -> Callable[[int], Command]:
        return lambda port: (_module(python, f"with_{package}", port, weights), {})

    found = installed(python)
    return [
        Side(name, starts(LIBRARIES[name]), ready, {"encode": encode})
        for name, (ready, encode) in known.items()
        if name in found
    ]


def _module(python: str, module: str, port: int, weights: Path) -> list[str]:
    return [python, "-m", f"benchmarks.peers.{module}", str(port), str(weights)]


def installed(python: str) -> dict[str, str]:
    """Versions of the serving libraries that a Python has, by name."""
    code = (
        "import importlib.metadata as m, json\nfound = {}\n"
        f"for name, package in {LIBRARIES!r}.items():\n"
        "    try: found[name] = m.version(package)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = run([python, "-c", code], capture_output=True, cwd=ROOT, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def versions(python: str) -> str:
    """Versions of all that is measured, and which libraries are missing."""
    known = {"fastapi": "FastAPI", "uvicorn": "uvicorn", "uvloop": "uvloop"}
    own = [f"{name} {_version(package)}" for package, name in known.items()]
    found = installed(python)
    text = ", ".join([*own, *(f"{name} {number}" for name, number in found.items())])
    missing = [name for name in LIBRARIES if name not in found]
    if missing:
        text += (
            f"\nNot measured: {', '.join(missing)}. To measure them too: python -m venv peers && "
            f"peers/bin/pip install {' '.join(LIBRARIES.values())} torch numpy pillow orjson, then "
            "--peers-python peers/bin/python"
        )
    return text


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def check_same(case: str, pairs: Sequence[tuple[Side, Server]]) -> None:
    """Check that every paused server gives the answer of the first.

    Raises:
        RuntimeError: One refuses the request, or answers otherwise.
    """
    first: list[np.ndarray] = []
    for side, server in pairs:
        server.resume()
        status, body = ask_once(server.port, side.requests[case])
        server.pause()
        if status != 200:
            raise RuntimeError(f"{side.name} answered {case} with {status}: {body[:300]!r}")
        if not side.has_network:
            continue
        answer = _READ[case](body)
        first = first or answer
        for one, other in zip(first, answer, strict=True):
            if one.shape != other.shape or not np.allclose(one, other, atol=TOLERANCE):
                raise RuntimeError(f"{side.name} answers {case} otherwise than {pairs[0][0].name}.")


def _latents(body: bytes) -> list[np.ndarray]:
    found = json.loads(body)
    found = found[0] if isinstance(found, list) else found
    return [np.array(found["mean"]), np.array(found["std"])]


_READ: dict[str, Callable[[bytes], list[np.ndarray]]] = {
    "encode": _latents,
    "decode": lambda body: [np.load(BytesIO(body))],
    # Each server draws its own: the pictures are of the same size.
    "sample": lambda body: [np.zeros(Image.open(BytesIO(body)).size)],
}
