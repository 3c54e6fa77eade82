"""The supervisor's decisions, over processes that this process plays."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any

import pytest

from app.serving import workers
from app.serving.workers import (
    Start,
    Supervisor,
    device_of,
    leave_supervisor,
    start_method,
    status_in_words,
)


class Records(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    handler = Records()
    workers.log.addHandler(handler)
    yield handler.found
    workers.log.removeHandler(handler)


class Played:
    """A worker's process: it listens at once, and ends when it is told to."""

    def __init__(self, crew: "Crew", start: Start) -> None:
        self.crew = crew
        self.pid = 1000 + len(crew.begun)
        self.start = start
        self.sentinel, self._end = os.pipe()
        self.exitcode: int | None = None

    def end(self, code: int = 0) -> None:
        self.exitcode = code
        os.close(self._end)

    def kill(self) -> None:
        if self.exitcode is None:
            self.end(-signal.SIGKILL)

    def join(self) -> None:
        os.close(self.sentinel)


class Crew:
    """What the supervisor asked for."""

    def __init__(self, *scenes: Callable[["Crew"], None], begin: str = "listening") -> None:
        self.begun: list[Played] = []
        self.seen: list[str] = []
        self.scenes = list(scenes)
        self.begin = begin
        self.renewed = True

    def start(self, start: Start) -> Any:
        played = Played(self, start)
        self.begun.append(played)
        self.seen.append(f"start {start.slot}:{start.number}")
        if self.begin == "listening":
            start.channel.send("listening")
        elif self.begin == "ends":
            played.end(3)
        else:  # its end of the channel stays open
            self.kept = os.fdopen(os.dup(start.channel.fileno()), "rb")
        return played

    def alive(self) -> list[Played]:
        return [played for played in self.begun if played.exitcode is None]

    def renew(self) -> bool:
        self.seen.append("renew")
        return self.renewed

    def all_listen(self) -> None:
        self.next_scene()

    def next_scene(self) -> None:
        if self.scenes:
            self.scenes.pop(0)(self)

    def stopping(self) -> None:
        self.seen.append("stopping")
        for played in self.alive():
            played.end()

    def ended(self, number: int) -> None:
        self.seen.append(f"ended {number}")
        self.next_scene()

    def pausing(self, slot: int) -> None:
        self.seen.append(f"pausing {slot}")


def terminate(crew: Crew) -> None:
    signal.raise_signal(signal.SIGTERM)


def supervise(crew: Crew, count: int = 2, stop_seconds: float = 60) -> list[str]:
    Supervisor(crew, count, stop_seconds=stop_seconds).run()
    return crew.seen


def test_workers_are_started_and_stopped_and_signals_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert supervise(Crew(terminate)) == [
        "start 0:0",
        "start 1:1",
        "stopping",
        "ended 0",
        "ended 1",
    ]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_that_ends_is_replaced_at_once_and_again_and_again_later(
    logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MAX_PAUSE_SECONDS", 0.01)

    def die(crew: Crew) -> None:
        crew.alive()[0].end(-signal.SIGKILL)

    crew = Crew(die)
    original = crew.start

    def start(start: Start) -> Any:
        played = original(start)
        if len(crew.begun) == 3:
            played.end(1)
        if len(crew.begun) == 4:
            terminate(crew)
        return played

    crew.start = start  # type: ignore[method-assign]
    seen = supervise(crew)
    assert seen[:7] == [
        "start 0:0",
        "start 1:1",
        "ended 0",
        "start 0:0",
        "ended 0",
        "pausing 0",
        "start 0:0",
    ]
    told = [record.fields for record in logged]
    assert [fields["status"] for fields in told] == ["killed by SIGKILL", "status 1"]
    assert [fields["new_one_in_seconds"] for fields in told] == [0.0, 0.01]


def test_a_worker_that_lived_long_is_replaced_at_once_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "STABLE_SECONDS", -1.0)

    def die(crew: Crew) -> None:
        crew.alive()[0].end(1)

    crew = Crew(die)
    original = crew.start

    def start(start: Start) -> Any:
        played = original(start)
        if 3 <= len(crew.begun) <= 4:
            played.end(1)
        if len(crew.begun) == 5:
            terminate(crew)
        return played

    crew.start = start  # type: ignore[method-assign]
    assert "pausing 0" not in supervise(crew)


def test_a_restart_begins_each_new_worker_before_the_old_one_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def restart(crew: Crew) -> None:
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(workers.log, "info", lambda message, **_: terminate(crew))
    crew = Crew(restart)
    seen = supervise(crew)
    assert seen[:6] == ["start 0:0", "start 1:1", "renew", "start 0:2", "start 1:3", "stopping"]


def test_a_stop_during_a_restart_is_a_stop() -> None:
    def restart(crew: Crew) -> None:
        signal.raise_signal(signal.SIGHUP)

    crew = Crew(restart)
    original = crew.start

    def start(start: Start) -> Any:
        if len(crew.begun) == 3:
            terminate(crew)
        return original(start)

    crew.start = start  # type: ignore[method-assign]
    assert supervise(crew)[:6][-1] == "stopping"


def test_a_restart_that_is_refused_keeps_the_workers() -> None:
    def restart(crew: Crew) -> None:
        crew.renewed = False
        signal.raise_signal(signal.SIGHUP)
        terminate(crew)

    assert supervise(Crew(restart))[:4] == ["start 0:0", "start 1:1", "renew", "stopping"]


def test_a_restart_ends_where_a_new_worker_does_not_begin(
    logged: list[Any],
) -> None:
    def restart(crew: Crew) -> None:
        crew.begin = "ends"
        signal.raise_signal(signal.SIGHUP)

    seen = supervise(Crew(restart, terminate))
    assert seen[:6] == ["start 0:0", "start 1:1", "renew", "start 0:2", "ended 2", "stopping"]
    assert [record.getMessage() for record in logged] == ["worker ended during a restart"]


def test_workers_that_never_listen_are_a_failed_start() -> None:
    with pytest.raises(ChildProcessError, match=r"ended before it listened \(status 3\)"):
        supervise(Crew(begin="ends"))


def test_a_worker_that_loads_its_models_ends_at_once() -> None:
    crew = Crew(begin="loads")
    original = crew.start

    def start(start: Start) -> Any:
        terminate(crew)
        return original(start)

    crew.start = start  # type: ignore[method-assign]
    crew.stopping = lambda: None  # type: ignore[method-assign]
    supervise(crew, 1)
    crew.kept.close()
    assert [played.exitcode for played in crew.begun] == [-signal.SIGKILL]


def test_the_service_does_not_say_that_it_listens_once_it_stops() -> None:
    crew = Crew(begin="loads")
    original = crew.start

    def start(start: Start) -> Any:
        terminate(crew)
        return original(start)

    def stopping() -> None:  # just then the worker listens
        with Connection(os.dup(crew.kept.fileno())) as channel:
            channel.send("listening")
        crew.begun[0].end()

    crew.start = start  # type: ignore[method-assign]
    crew.stopping = stopping  # type: ignore[method-assign]
    crew.all_listen = lambda: crew.seen.append("all listen")  # type: ignore[method-assign]
    assert supervise(crew, 1) == ["start 0:0", "ended 0"]
    crew.kept.close()


@pytest.mark.parametrize("own_queues", [True, False])
def test_a_stop_waits_for_the_replacement_of_a_dead_worker_if_connections_do(
    own_queues: bool,
) -> None:
    def die(crew: Crew) -> None:
        crew.begin = "loads"
        crew.alive()[0].end(-signal.SIGKILL)

    crew = Crew(die, terminate)  # the stop comes before the replacement is launched
    told: list[str] = []
    original = crew.start

    def start(start: Start) -> Any:
        played = original(start)
        crew.stopping = lambda: crew.begun[1].end()  # type: ignore[method-assign]
        return played

    def ended(number: int) -> None:
        if len(crew.begun) == 3 and crew.begun[2].exitcode is None:
            told.append(Connection(os.dup(crew.kept.fileno())).recv())
            crew.begun[2].end()
        else:
            crew.next_scene()

    crew.start = start  # type: ignore[method-assign]
    crew.ended = ended  # type: ignore[method-assign]
    Supervisor(crew, 2, stop_seconds=60, own_queues=own_queues).run()
    crew.kept.close()
    assert told == (["stop"] if own_queues else [])
    assert crew.begun[2].exitcode == (0 if own_queues else -signal.SIGKILL)


def test_workers_that_do_not_stop_are_killed() -> None:
    crew = Crew(terminate)
    crew.stopping = lambda: None  # type: ignore[method-assign]
    supervise(crew, stop_seconds=0.05)
    assert {played.exitcode for played in crew.begun} == {-signal.SIGKILL}


def test_a_second_signal_ends_everything_at_once() -> None:
    def twice(crew: Crew) -> None:
        terminate(crew)
        signal.raise_signal(signal.SIGINT)

    crew = Crew(twice)
    with pytest.raises(SystemExit) as ended:
        supervise(crew)
    assert ended.value.code == 0
    assert {played.exitcode for played in crew.begun} == {-signal.SIGKILL}
    assert "stopping" not in crew.seen


def test_a_closed_terminal_stops_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up(crew: Crew) -> None:
        monkeypatch.setattr(workers.sys.stderr, "isatty", lambda: True, raising=False)
        signal.raise_signal(signal.SIGHUP)

    assert "stopping" in supervise(Crew(hang_up))


def test_a_worker_lets_go_of_what_is_its_supervisors() -> None:
    ours, theirs = Pipe()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        leave_supervisor(Start(0, 0, theirs, [ours]))
        found = [signal.getsignal(number) for number in numbers]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert found == [signal.SIG_DFL, signal.SIG_IGN, signal.SIG_IGN]
    assert ours.closed
    theirs.close()


def test_only_what_computes_on_the_cpu_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.sys, "platform", "linux")
    assert [start_method(device) for device in ("cpu", "cuda:0", "mps")] == [
        "fork",
        "spawn",
        "spawn",
    ]
    monkeypatch.setattr(workers.sys, "platform", "darwin")
    assert start_method("cpu") == "spawn"


def test_workers_take_turns_with_devices() -> None:
    assert [device_of("cuda", slot, 2) for slot in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [device_of("cuda:1", slot, 2) for slot in range(2)] == ["cuda:1", "cuda:1"]
    assert device_of("cpu", 1, 0) == "cpu"
    assert status_in_words(None) == "status None"
