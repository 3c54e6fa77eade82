"""A server that drains, stops and ends, in this process."""

import asyncio
import errno
import os
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.api.protocol import serving_protocol
from app.serving import lifecycle, ports
from app.serving.lifecycle import Lifecycle, Server
from app.serving.ports import bind_port
from app.serving.registry import Registry
from app.settings import Settings

pytestmark = pytest.mark.anyio

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An app that says yes."""
    if scope["type"] != "http":
        return
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]}
    )
    await send({"type": "http.response.body", "body": b"yes"})


@asynccontextmanager
async def running(
    tmp_path: Path, *, drain_seconds: float = 0.0, supervisor: Connection | None = None
) -> AsyncIterator[tuple[Server, asyncio.Task[None], list[str]]]:
    said: list[str] = []
    config = uvicorn.Config(
        answer,
        http=serving_protocol(Settings()),
        lifespan="off",
        log_config=None,
        server_header=False,
    )
    server = Server(
        config,
        Lifecycle(Registry(tmp_path)),
        drain_seconds=drain_seconds,
        listening=lambda: said.append("listening"),
        supervisor=supervisor,
    )
    port = bind_port("127.0.0.1", 0)
    server.address, server.sockets = port[0].getsockname(), port  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(port))
    while not server.started:
        await asyncio.sleep(0.01)
    yield server, task, said
    server.should_exit = True
    await task


async def ask(server: Any) -> bytes:
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(REQUEST)
    head = await reader.readuntil(b"yes")
    writer.close()
    return head.lower()


async def test_answers_close_their_connections_while_the_server_drains(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    async with running(tmp_path, drain_seconds=0.3) as (server, task, said):
        assert said == ["listening"]
        assert b"connection: close" not in await ask(server)
        signal.raise_signal(signal.SIGTERM)
        assert server.lifecycle.status() == "draining"
        await asyncio.sleep(0.05)
        assert b"connection: close" in await ask(server)
        await asyncio.wait_for(task, 30)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


async def test_a_second_signal_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    async with running(tmp_path, drain_seconds=60):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert codes == [0]


async def test_nohup_keeps_a_closed_terminal_from_stopping_the_server(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with running(tmp_path) as (server, _, _):
            signal.raise_signal(signal.SIGHUP)
            assert not server.lifecycle.draining
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        async with running(tmp_path) as (server, task, _):
            signal.raise_signal(signal.SIGHUP)
            await asyncio.wait_for(task, 30)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
async def test_a_connection_that_waits_in_the_queue_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(ports.sys, "platform", platform)
    async with running(tmp_path) as (server, task, _):
        # Two in one turn of the loop, which accepts neither before it stops.
        waiting = [socket.create_connection(server.address) for _ in range(2)]  # type: ignore[attr-defined]
        for connection in waiting:
            connection.sendall(REQUEST)
        stopping = asyncio.create_task(server.shutdown(server.sockets))  # type: ignore[attr-defined]
        for connection in waiting:
            with connection:
                got = await asyncio.to_thread(connection.recv, 4096)
                assert got.startswith(b"HTTP/1.1 200")
        await stopping
        server.started = False
        server.should_exit = True
        await task


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what comes to a port")
async def test_a_connection_after_the_last_look_at_the_queue_is_refused_and_not_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_all = lifecycle._accept_all
    late = socket.socket()
    late.setblocking(False)

    def accept_all_and_be_slow(listening: socket.socket) -> Iterator[socket.socket]:
        yield from accept_all(listening)
        late.connect_ex(listening.getsockname())

    monkeypatch.setattr(lifecycle, "_accept_all", accept_all_and_be_slow)
    async with running(tmp_path) as (_, task, _):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(task, 30)
    with late:
        assert select.select([], [late], [], 60)[1]
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


async def test_a_worker_that_is_replaced_leaves_its_port_open(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    async with running(tmp_path, supervisor=theirs) as (server, task, _):
        replacement = server.sockets[0].dup()  # type: ignore[attr-defined]
        for word in ("replaced", "stop"):  # a restart, and the end of all soon after
            ours.send(word)
        await asyncio.wait_for(task, 30)
        with replacement, socket.create_connection(server.address, timeout=30):  # type: ignore[attr-defined]
            replacement.accept()[0].close()


async def test_a_worker_says_that_it_listens_and_stops_when_it_is_told(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    async with running(tmp_path, supervisor=theirs) as (server, task, _):
        assert ours.recv() == "listening"
        signal.raise_signal(signal.SIGINT)  # a terminal's, which the supervisor has, too
        assert not server.lifecycle.draining
        ours.send("stop")
        await asyncio.wait_for(task, 30)
        assert not server.orphaned


async def test_a_worker_stops_by_itself_when_its_supervisor_has_ended(tmp_path: Path) -> None:
    ours, theirs = Pipe()
    async with running(tmp_path, supervisor=theirs, drain_seconds=0.05) as (server, task, _):
        for _ in range(2):  # as systemd and a supervisor may
            signal.raise_signal(signal.SIGTERM)
        ours.close()
        await asyncio.wait_for(task, 30)
        assert server.orphaned
