"""Running estimates of a command, from this process and from a server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from app.cli.client import Client
from app.cli.in_process import InProcess
from tests.app.cli.command_cases import Vae, done, write_pictures
from tests.app.pictures import binary, encoded
from tests.app.server_process import Served
from vae_client.errors import CallError
from vae_client.sources import Source

ASKED = ("log-likelihood", "in", "--num-samples", "300", "--seed", "1", "-m", "mnist")
SOURCE = Source(("a.png",), (encoded(binary()[0]),))


@pytest.mark.slow
def test_running_estimates_are_printed_before_the_answer(
    vae: Vae, tmp_path: Path, served: Served
) -> None:
    write_pictures(tmp_path / "in", 3)
    answer = done(vae(*ASKED, "--json")).stdout
    for where in ((), ("--url", served.url), ("--batch-size", "2")):
        *running, last = done(vae(*ASKED, "--stream", *where)).stdout.splitlines(keepends=True)
        assert last == answer, where
        found = [json.loads(line) for line in running]
        assert {line["file"] for line in found} == {f"in/{i}.png" for i in range(3)}
        assert found[-1]["num_samples"] <= 300
    printed = done(vae(*ASKED, "--stream", "-o", "scores.csv")).stdout
    assert [json.loads(line) for line in printed.splitlines()]
    assert (tmp_path / "scores.csv").read_text().startswith("file,")


@pytest.mark.slow
def test_a_refused_stream_is_refused_as_a_whole_answer(vae: Vae, tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 1)
    result = vae("log-likelihood", "in", "--num-samples", "20000", "-m", "mnist", "--stream")
    assert result.exit_code == 1
    assert "VAE_MAX_NUM_SAMPLES" in str(result.exception)


@pytest.mark.anyio
class TestClient:
    """A stream's lines, told apart."""

    async def stream(self, response: httpx.Response) -> list[Any]:
        told: list[Any] = []
        transport = httpx.MockTransport(lambda request: response)
        async with httpx.AsyncClient(transport=transport, base_url="http://vae") as http:
            await Client(http, "m", 1).stream("log-likelihood", {}, SOURCE, told.append)
        return told

    @pytest.mark.parametrize(
        ("response", "words"),
        [
            (httpx.Response(422, json={"detail": "bad"}), "bad"),
            (httpx.Response(200, text='{"status": 504, "detail": "late"}\n'), "late"),
            (httpx.Response(200, text='{"item": 0}\n'), "ended before its last line"),
        ],
    )
    async def test_what_fails_is_said(self, response: httpx.Response, words: str) -> None:
        with pytest.raises(CallError, match=words):
            await self.stream(response)


@pytest.mark.anyio
class TestInProcess:
    """Answers of an app in this process, as they come."""

    async def test_parts_come_before_the_end(self) -> None:
        go_on = asyncio.Event()
        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.append(await receive())
            await send({"type": "http.response.start", "status": 201, "headers": [(b"a", b"b")]})
            await send({"type": "http.response.body", "body": b"1", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"2"})

        async with (
            httpx.AsyncClient(transport=InProcess(app), base_url="http://vae") as http,
            http.stream("POST", "/x?y=1", content=b"body") as response,
        ):
            assert (response.status_code, response.headers["a"]) == (201, "b")
            parts = response.aiter_raw()
            assert await anext(parts) == b"1"
            go_on.set()
            assert await anext(parts) == b"2"
        assert received == [{"type": "http.request", "body": b"body", "more_body": False}]

    async def test_an_app_hears_that_its_client_has_left(self) -> None:
        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not received or received[-1]["type"] == "http.request":
                received.append(await receive())

        async with (
            httpx.AsyncClient(transport=InProcess(app), base_url="http://vae") as http,
            http.stream("POST", "/", content=b"") as response,
        ):
            assert response.status_code == 200
        assert received[-1] == {"type": "http.disconnect"}

    async def test_an_app_that_ends_early_is_an_error(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async with httpx.AsyncClient(transport=InProcess(app), base_url="http://vae") as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get("/")
