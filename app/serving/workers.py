"""The supervisor of several workers behind one port: it starts, replaces, restarts and stops them.

It serves nothing itself. Where processes can be forked, it has loaded the models, so that all
workers share their memory and a replacement starts at once.
"""

import logging
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, Protocol

log = logging.getLogger("app.workers")

STABLE_SECONDS = 10.0
"""A worker that lived as long is replaced at once."""
MAX_PAUSE_SECONDS = 30.0
"""Longest wait before a worker is started that ends again and again."""


@dataclass
class Start:
    """What a new worker is told."""

    slot: int
    """Which of the workers it is; a replacement has the same."""
    number: int
    """A number that no other live worker has, and a later one may."""
    channel: Connection
    """To the supervisor: the worker sends "listening", and stops when "stop" or "replaced" arrives,
    which says that another one listens in its place."""
    inherited: list[Any]
    """What a forked worker closes: the supervisor's ends of channels, as long as one of which is
    open nobody hears that the supervisor has ended, and the other workers' sockets."""


@dataclass(eq=False)
class Worker:
    """A worker's process."""

    slot: int
    number: int
    process: BaseProcess
    channel: Connection
    awaited: bool
    """Whether connections may wait for it before it says that it listens."""
    started_at: float = field(default_factory=time.monotonic)
    heard: bool = False
    """Whether its channel has said all that it will."""
    listening: bool = False
    stopping: bool = False

    def stop(self, word: Literal["stop", "replaced"]) -> None:
        """Let it drain, finish what it has accepted, and end; at once where nobody waits for it."""
        self.stopping = True
        if not (self.listening or self.awaited or self.channel.poll()):
            self.process.kill()
            return
        with suppress(OSError):  # it has ended already
            self.channel.send(word)


class Crew(Protocol):
    """What the workers do, and what else changes with them."""

    def start(self, start: Start) -> BaseProcess:
        """Start a worker's process."""

    def renew(self) -> bool:
        """Read settings and models anew before a restart; False keeps the present workers."""

    def all_listen(self) -> None:
        """Called once, when every worker listens."""

    def stopping(self) -> None:
        """Called before the workers are told to stop."""

    def ended(self, number: int) -> None:
        """Called with the number of a worker whose process has ended."""

    def pausing(self, slot: int) -> None:
        """Called when a slot stays without a worker for a while."""


class Supervisor:
    """Keeps a number of workers alive until a signal."""

    def __init__(
        self, crew: Crew, count: int, *, stop_seconds: float, own_queues: bool = False
    ) -> None:
        """Prepare; `run` starts the workers.

        Args:
            crew: What they do.
            count: Number of workers.
            stop_seconds: How long workers may take to stop before they are killed.
            own_queues: Whether each worker has connections that wait for it or its replacement
                alone. A stop lets such a worker begin first; others it ends at once.
        """
        self.crew = crew
        self.count = count
        self.stop_seconds = stop_seconds
        self.own_queues = own_queues
        self.workers: list[Worker] = []
        self._due: dict[int, float] = {}
        """When a slot without a worker gets one."""
        self._pauses: dict[int, float] = {}
        self._to_replace: deque[int] = deque()
        self._replacement: Worker | None = None
        self._signals: deque[int] = deque()
        self._kill_at: float | None = None
        self._all_listened = False

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT; SIGHUP restarts the workers one after another.

        Raises:
            ChildProcessError: A first worker ended before it listened.
        """
        with self._catch_signals() as woken:
            self._due = dict.fromkeys(range(self.count), 0.0)
            try:
                while self._kill_at is None or self.workers:
                    self._turn(woken)
            finally:
                self._kill()

    def _turn(self, woken: socket.socket) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now > self._kill_at:
            self._kill()
        for slot in [slot for slot, due in self._due.items() if due <= now]:
            self._launch(slot)
        while self._signals:  # after what is due: a stop cancels it
            self._obey(self._signals.popleft())
        ends = {worker.process.sentinel: worker for worker in self.workers}
        channels = {worker.channel: worker for worker in self.workers if not worker.heard}
        for found in wait([woken, *channels, *ends], self._seconds_left()):
            if found is woken:
                woken.recv(4096)
            elif isinstance(found, Connection):
                self._hear(channels[found])
            else:
                self._end(ends[found])  # type: ignore[index]

    def _seconds_left(self) -> float | None:
        """Seconds until something is due."""
        times = [*self._due.values(), *([] if self._kill_at is None else [self._kill_at])]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _obey(self, number: int) -> None:
        if number != signal.SIGHUP:
            self._stop()
        elif self._kill_at is None and self._replacement is None and self.crew.renew():
            self._to_replace.extend(range(self.count))
            self._replace_next()

    def _stop(self) -> None:
        self.crew.stopping()
        self._due.clear()
        self._stop_restart()
        self._kill_at = time.monotonic() + self.stop_seconds
        for worker in self.workers:
            worker.stop("stop")

    def _kill(self) -> None:
        for worker in self.workers:
            worker.process.kill()

    def _launch(self, slot: int) -> Worker:
        self._due.pop(slot, None)
        used = {worker.number for worker in self.workers}
        number = next(n for n in range(len(used) + 1) if n not in used)
        ours, theirs = Pipe()
        inherited = [ours, *(worker.channel for worker in self.workers)]
        with _terminal_signals_blocked():
            process = self.crew.start(Start(slot, number, theirs, inherited))
        theirs.close()
        self.workers.append(Worker(slot, number, process, ours, self.own_queues))
        return self.workers[-1]

    def _hear(self, worker: Worker) -> None:
        """A new worker listens: the one before it in its slot, if any, may stop."""
        worker.heard = True
        try:
            worker.channel.recv()
        except (EOFError, OSError):  # it has ended; its sentinel says so, too
            return
        worker.listening = True
        if self._kill_at is not None:  # all have been told to stop
            return
        for older in self.workers[: self.workers.index(worker)]:
            if older.slot == worker.slot:
                older.stop("replaced")
        if worker is self._replacement:
            self._replace_next()
        if not self._all_listened and self._count_listening() == self.count:
            self._all_listened = True
            self.crew.all_listen()

    def _count_listening(self) -> int:
        return sum(worker.listening for worker in self.workers)

    def _replace_next(self) -> None:
        self._replacement = None
        if self._to_replace:
            self._replacement = self._launch(self._to_replace.popleft())
        else:
            log.info("restarted", extra={"fields": {"workers": self.count}})

    def _stop_restart(self) -> None:
        self._replacement = None
        self._to_replace.clear()

    def _end(self, worker: Worker) -> None:
        """A process has ended: replace it unless it was told to."""
        worker.process.join()
        worker.channel.close()
        self.workers.remove(worker)
        self.crew.ended(worker.number)
        if worker.stopping or self._kill_at is not None:
            return
        if worker is self._replacement:
            self._stop_restart()
        fields = {"pid": worker.process.pid, "status": status_in_words(worker.process.exitcode)}
        if not worker.listening and not self._all_listened:
            raise ChildProcessError(
                f"A worker ended before it listened ({fields['status']}). The log says why; "
                "VAE_WORKERS=1 starts without a supervisor."
            )
        if any(other.slot == worker.slot for other in self.workers):  # while it was replaced
            log.error("worker ended during a restart", extra={"fields": fields})
            return
        pause = self._pause(worker)
        self._due[worker.slot] = time.monotonic() + pause
        if pause:
            self.crew.pausing(worker.slot)
        log.error("worker ended", extra={"fields": {**fields, "new_one_in_seconds": pause}})

    def _pause(self, worker: Worker) -> float:
        """Seconds before the next try: none at first, then twice as many each time."""
        if time.monotonic() - worker.started_at > STABLE_SECONDS:
            self._pauses.pop(worker.slot, None)
        before = self._pauses.get(worker.slot)
        pause = 0.0 if before is None else min(max(2 * before, 0.5), MAX_PAUSE_SECONDS)
        self._pauses[worker.slot] = pause
        return pause

    @contextmanager
    def _catch_signals(self) -> Iterator[socket.socket]:
        """Handle signals between two turns; a second one that stops ends everything at once."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)

        def handle(number: int, frame: Any) -> None:
            if number == signal.SIGHUP and sys.stderr.isatty():
                number = signal.SIGTERM  # the terminal was closed
            stopping = self._kill_at is not None or set(self._signals) - {signal.SIGHUP}
            if stopping and number != signal.SIGHUP:
                raise SystemExit(0)
            self._signals.append(number)

        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in numbers}
        wakeup = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            woken.close()
            waker.close()


@contextmanager
def _terminal_signals_blocked() -> Iterator[None]:
    """Keep a terminal's signals from a process that is started here, for as long as it lives."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_supervisor(start: Start) -> None:
    """Undo in a worker's process what belongs to its supervisor; call it first."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to every process
        signal.signal(number, signal.SIG_IGN)
    for channel in start.inherited:
        channel.close()


def start_method(device: str) -> str:
    """How workers begin: as copies that share memory, or afresh, for what no copy can use."""
    return "fork" if device == "cpu" and sys.platform == "linux" else "spawn"


def device_of(device: str, slot: int, count: int) -> str:
    """A worker's device: one each where a kind of device is named without an index."""
    return f"{device}:{slot % count}" if count and device == "cuda" else device


def status_in_words(code: int | None) -> str:
    """How a process ended."""
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"status {code}"
