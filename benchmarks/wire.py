"""Asyncio client that sends prepared bytes and reads whole answers, for the load generators."""

import asyncio
from typing import cast


class Client(asyncio.Protocol):
    """Kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        """Make an unconnected client; `connect` makes a connected one."""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._data = bytearray()
        self._missing = -1
        self._status = 0
        self.closed = False
        self.head = b""
        """Of the last answer, in lower case."""

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """Connect to a port of 127.0.0.1."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(cls, "127.0.0.1", port)
        return client

    def ask(self, wire: bytes) -> "asyncio.Future[int]":
        """Send a request; its future has the status once the whole answer is there."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed or self._transport is None:
            self._answer.set_exception(ConnectionResetError("The connection is closed."))
        else:
            self._data.clear()
            self._missing = -1
            self._transport.write(wire)
        return self._answer

    def close(self) -> None:
        """Close the connection at once, whatever is in flight."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._data += data
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = head = bytes(self._data[:end]).lower()
            self._status = int(head[9:12])
            length = int(head.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
            self._missing = end + 4 + length - len(self._data)
        else:
            self._missing -= len(data)
        if self._missing <= 0 and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._status)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("The server closed the connection."))


def phase_seconds(head: bytes, name: str) -> float:
    """Seconds of a phase in the Server-Timing of a head in lower case; NaN if it has none."""
    _, found, rest = head.partition(f"{name};dur=".encode())
    return float(rest.split(b",")[0].split(b"\r")[0]) / 1000 if found else float("nan")
