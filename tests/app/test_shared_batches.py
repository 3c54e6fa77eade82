"""Requests whose rows share passes: the bytes of an answer are those of the request alone."""

import asyncio

import httpx
import numpy as np
import pytest

from app.settings import PRETRAINED
from tests.app.conftest import ClientFactory
from tests.app.pictures import npy

pytestmark = pytest.mark.anyio

SEEDS = range(6)
Request = tuple[str, str, bytes | None]


def pictures(seed: int, count: int) -> bytes:
    generator = np.random.default_rng(seed)
    return npy((generator.random((count, 1, 28, 28)) > 0.8).astype(np.uint8) * 255)


def latents(seed: int, count: int) -> bytes:
    return npy(np.random.default_rng(seed).standard_normal((count, 40)).astype(np.float32))


def requests(model: str) -> list[Request]:
    """Requests of all kinds and sizes, each with its own rows and seed."""
    at, found = f"/v1/models/{model}", list[Request]()
    for seed in SEEDS:
        count = 1 + seed % 3
        found += [
            ("POST", f"{at}/encode?num_samples={seed % 2}&seed={seed}", pictures(seed, count)),
            ("POST", f"{at}/reconstruct?format=npy", pictures(seed, count)),
            ("POST", f"{at}/elbo?num_samples=3&seed={seed}", pictures(seed, count)),
            ("POST", f"{at}/log-likelihood?num_samples=20&seed={seed}", pictures(seed, count)),
            ("GET", f"{at}/sample?n={count}&seed={seed}&format=npy", None),
            ("GET", f"{at}/sample?n=2&seed={seed}&output=sample&format=npy", None),
        ]
        if model == "mnist":
            found.append(("POST", f"{at}/decode?format=npy", latents(seed, count)))
        else:
            found.append(("POST", f"{at}/classify", pictures(seed, count)))
            found.append(("POST", f"{at}/encode?label=3", pictures(seed, count)))
    return found


async def ask(client: httpx.AsyncClient, request: Request) -> bytes:
    method, url, body = request
    headers = {"Content-Type": "application/x-npy"} if body else {}
    response = await client.request(method, url, content=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.content


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mnist", "mnist-labelled"])
@pytest.mark.parametrize("lane", ["loop", "thread"])
async def test_an_answer_is_the_same_alone_and_among_others(
    model: str, lane: str, open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 1e9 if lane == "loop" else 0.0
    for name in ("INLINE_SECONDS", "INLINE_TURN_SECONDS"):
        monkeypatch.setattr(f"app.serving.scheduler.{name}", seconds)
    asked = requests(model)
    async with open_client(model_repository=PRETRAINED, compute_threads=2) as client:
        alone = [await ask(client, request) for request in asked]
        shared: list[int] = []
        scheduler = client.app.state.service.scheduler  # type: ignore[attr-defined]
        for engine in (scheduler, scheduler._lane):
            engine._on_chunk = lambda asked, requests, rows: shared.append(requests)
        together = []
        while max(shared, default=0) <= 2:  # a machine may be slow to ask, and batches are small
            together = await asyncio.gather(*(ask(client, request) for request in asked))
    for request, one, other in zip(asked, alone, together, strict=True):
        assert one == other, request
