"""Real clients on connections that stay open, and what became of each request."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Load:
    """Requests of several clients at once, each after the other on its own connection."""

    host: str
    port: int
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    """Connections that were refused: the client goes elsewhere."""
    closed: int = 0
    """Answers that closed their connection."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def until(self, answered: int, seconds: float = 60) -> None:
        """Wait until so many more requests are answered."""
        goal, deadline = self.answered + answered, time.monotonic() + seconds
        while self.answered < goal:
            assert time.monotonic() < deadline, self
            time.sleep(0.01)

    def _client(self) -> None:
        connection = self._connect()
        while not self._stop.is_set():
            if connection is None:
                time.sleep(0.05)
                connection = self._connect()
                continue
            try:
                connection.request("GET", "/v1/sample?n=1&seed=1")
                answer = connection.getresponse()
                whole = len(answer.read())
                if answer.status != 200 or not whole:
                    self.failures.append(f"{answer.status}, {whole} bytes")
                self.answered += 1
                if answer.getheader("connection") == "close":
                    self.closed += 1
                    connection = self._connect()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection = self._connect()
        if connection is not None:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection | None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.connect()
        except OSError:
            self.refused += 1
            return None
        return connection


@contextmanager
def load(url: str, clients: int = 8) -> Iterator[Load]:
    """Clients that send requests until the end."""
    host, port = url.removeprefix("http://").split(":")
    running = Load(host, int(port))
    threads = [threading.Thread(target=running._client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running._stop.set()
        for thread in threads:
            thread.join(timeout=60)
