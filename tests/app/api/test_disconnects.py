"""A client that leaves: at once, while its body is read, while its work runs."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive

from app.api.answering import answer
from app.api.body import Received, read_body
from app.api.headers import preprocessing_header
from app.api.plan import Plans
from app.api.read_items import read_items
from app.api.record import Record
from app.errors import ClientDisconnected
from app.operations.parameters import EncodeParameters
from app.operations.table import OPERATIONS
from app.settings import PRETRAINED
from app.wire.items import Body
from models.errors import PayloadTooLarge
from tests.app.conftest import ClientFactory
from tests.app.pictures import npy

pytestmark = pytest.mark.anyio


def receive_of(*messages: dict[str, Any]) -> Receive:
    """Gives these messages; then nothing more comes."""
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        if queue:
            return queue.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def test_a_body_whose_client_leaves_is_nobodys() -> None:
    receive = receive_of(
        {"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}
    )
    with pytest.raises(ClientDisconnected):
        await read_body({}, Received(receive).next_part, max_bytes=100)


async def test_a_last_chunk_over_the_limit_is_refused_without_waiting_for_more() -> None:
    receive = receive_of({"type": "http.request", "body": b"x" * 11, "more_body": False})
    async with asyncio.timeout(5):
        with pytest.raises(PayloadTooLarge):
            await read_body({}, Received(receive).next_part, max_bytes=10)


@pytest.mark.parametrize("length", [b"11", b"9" * 20])
@pytest.mark.parametrize("sent", [b"", b"x" * 5])
async def test_a_length_over_the_limit_is_refused_though_nothing_more_comes(
    length: bytes, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.body.REFUSED_WAIT_SECONDS", 0.01)
    messages = [{"type": "http.request", "body": sent, "more_body": True}] if sent else []
    receive, headers = receive_of(*messages), {b"content-length": length}
    async with asyncio.timeout(5):
        with pytest.raises(PayloadTooLarge, match=f"{length.decode()} bytes are over"):
            await read_body(headers, Received(receive).next_part, max_bytes=10)


async def test_a_client_that_asks_first_is_refused_before_it_sends() -> None:
    headers = {b"content-length": b"11", b"expect": b"100-continue"}
    receive = receive_of({"type": "http.request", "body": b"x" * 11})
    with pytest.raises(PayloadTooLarge):
        await read_body(headers, Received(receive).next_part, max_bytes=10)
    assert (await receive())["body"] == b"x" * 11  # nobody asked for it


async def test_work_is_dropped_when_the_client_leaves(open_client: ClientFactory) -> None:
    async with open_client(model_repository=PRETRAINED) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        scope = {
            "type": "http",
            "headers": [(b"content-type", b"application/x-npy")],
            "query_string": b"num_samples=10000",
            "vae.record": Record("id"),
        }
        body = npy(np.zeros((4, 1, 28, 28), np.uint8))
        receive = receive_of({"type": "http.request", "body": body}, {"type": "http.disconnect"})
        served, operation = service.registry.find("mnist"), OPERATIONS["log-likelihood"]
        with pytest.raises(ClientDisconnected):
            await answer(
                service, operation, served, Plans(), scope, Received(receive), versioned=False
            )
        assert (service.scheduler.jobs, service.scheduler.cost) == (0, 0)


async def test_pictures_are_not_read_for_nobody(open_client: ClientFactory) -> None:
    stop = threading.Event()
    stop.set()
    async with open_client() as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        body = Body(images=[np.zeros((1, 8, 8))])
        with pytest.raises(ClientDisconnected):
            read_items(
                service.settings,
                OPERATIONS["encode"],
                service.registry.find(),
                body,
                EncodeParameters(),
                stop,
            )


def test_a_long_preprocessing_header_is_cut() -> None:
    header = preprocessing_header(tuple((f"step {i}",) for i in range(1000)))
    assert len(header) == 1024
    assert header.endswith("...")
    assert preprocessing_header(((), ())) == "none"
