"""Memory, threads, descriptors and processor time of the process.

prometheus_client's own collector, which reads them, leaves out threads and works in one process
only: its values are copied into gauges that are summed over workers.
"""

import os
import re
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

THREADS_FOLDER = "/proc/self/task"
ROLLUP = Path("/proc/self/smaps_rollup")
ROLLUP_SECONDS = 15.0
"""Seconds between two looks at it: the kernel walks all pages each time, 10 ms for 400 MB."""
PROPORTIONAL = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)


class ProcessMetrics:
    """Gauges of this process; empty where the system has no /proc."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self._collector = ProcessCollector(registry=None)
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        name = "process_resident_memory_bytes"
        words = "Resident memory; what processes share counts in each."
        self._gauges = {name: gauge(name, words)}
        self._proportional: Gauge | None = None
        if _proportional_bytes() is not None:
            name = "vae_process_proportional_memory_bytes"
            words = "Proportional memory; what n processes share counts as its nth part in each."
            self._proportional = gauge(name, words)
        self._rollup_due = 0.0
        name = "process_open_fds"
        self._gauges[name] = gauge(name, "Open file descriptors.")
        name = "process_start_time_seconds"
        words = "When the process began, that of the youngest worker; seconds since 1970."
        self._gauges[name] = gauge(name, words, multiprocess_mode="livemax")
        self._threads = gauge("process_threads", "Threads, those of torch too.")
        words = "Processor time."
        self._cpu_seconds = Counter("process_cpu_seconds_total", words, registry=registry)
        self._cpu_counted = 0.0
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read the values anew."""
        for metric in self._collector.collect():
            for sample in metric.samples:
                if sample.name in self._gauges:
                    self._gauges[sample.name].set(sample.value)
        with suppress(OSError):  # a system without /proc
            self._threads.set(len(os.listdir(THREADS_FOLDER)))
        with self._lock:  # scrapes have threads of their own
            now = time.process_time()
            self._cpu_seconds.inc(now - self._cpu_counted)
            self._cpu_counted = now
            if self._proportional is not None and time.monotonic() >= self._rollup_due:
                self._rollup_due = time.monotonic() + ROLLUP_SECONDS
                self._proportional.set(_proportional_bytes() or 0)


def _proportional_bytes() -> int | None:
    """The process's proportional set size; None where the system does not tell it."""
    try:
        found = PROPORTIONAL.search(ROLLUP.read_text(encoding="ascii"))
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])
