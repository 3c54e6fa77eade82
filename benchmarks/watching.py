"""Watch a server while it is under load: `/livez` over new connections, and its memory."""

import threading
import time
from types import TracebackType

import numpy as np

from benchmarks.servers import Exchange, Server, ask_once

PROBE_SECONDS = 0.05
PROBES_PER_SAMPLE = 10
"""Reading the memory takes some milliseconds of a large process."""
PROBE_TIMEOUT_SECONDS = 30.0


class Watcher:
    """Probes from a thread of its own, as long as the context lasts."""

    def __init__(self, server: Server) -> None:
        """Prepare; the context starts the thread."""
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.peak_bytes = 0

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def p99(self) -> float:
        """99th percentile of the seconds of a probe."""
        return float(np.percentile(self.latencies or [np.nan], 99))

    def _watch(self) -> None:
        probe = Exchange("GET", "/livez")
        count = 0
        while not self._stop.is_set():
            started_at = time.perf_counter()
            try:
                status, _ = ask_once(self._server.port, probe, timeout=PROBE_TIMEOUT_SECONDS)
                if status != 200:
                    self.failures.append(f"status {status}")
            except OSError as error:
                self.failures.append(repr(error))
            took = time.perf_counter() - started_at
            self.latencies.append(took)
            if count % PROBES_PER_SAMPLE == 0:
                self.peak_bytes = max(self.peak_bytes, self._server.memory_bytes())
            count += 1
            self._stop.wait(max(0.0, PROBE_SECONDS - took))
