"""`vae serve` in this process: what is done before anything is served, and by whom."""

import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch

from app.api import worker_metrics
from app.cli import server
from app.cli.server import Workers, serve, work
from app.serving.lifecycle import Server
from app.serving.model_control import Report, control_folder, open_board
from app.serving.ports import bind_port, close_sockets
from app.serving.workers import Start
from app.settings import Settings
from models.errors import ConfigError


@pytest.fixture(autouse=True)
def _this_process_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a server's process sets for itself is not set in the process of the tests."""
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    monkeypatch.setattr(logging.config, "dictConfig", lambda _: None)
    monkeypatch.setattr(server, "leave_supervisor", lambda _: None)
    monkeypatch.setattr(server, "count_as_worker", lambda _: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def made(repository: Path) -> Callable[..., Settings]:
    def make(**given: Any) -> Settings:
        return Settings(**{"model_repository": repository, "port": 0, **given})

    return make


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Servers that would have run."""
    found: list[Any] = []

    def run(self: Server, sockets: list[socket.socket]) -> None:
        found.append(self)
        if self.listening is not None:
            self.listening()
        close_sockets(sockets)

    monkeypatch.setattr(Server, "run", run)
    return found


def test_one_worker_serves_loaded_models_as_the_settings_say(
    made: Callable[..., Settings], ran: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    serve(made(request_timeout_seconds=10, drain_seconds=3, compute_threads=1))
    (found,) = ran
    assert found.lifecycle.status() == "ok"
    assert found.config.timeout_graceful_shutdown == 15
    assert found.drain_seconds == 3
    assert found.config.ws == "none"


def test_a_terminal_is_told_in_words(
    made: Callable[..., Settings],
    ran: list[Server],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    serve(made())
    words = capsys.readouterr().err
    assert "vae-serve listens on http://127.0.0.1:" in words
    assert "colour" in words
    assert "/docs" in words
    assert "Stop: Ctrl-C" in words


def test_a_port_in_use_is_said_before_models_are_loaded(
    made: Callable[..., Settings], ran: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "make_registry", None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for workers in (1, 2):
            with pytest.raises(ConfigError, match="is in use"):
                serve(made(port=taken.getsockname()[1], workers=workers))
    assert not ran


def test_several_workers_are_supervised_until_they_have_had_time_to_stop(
    made: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Supervised:
        def __init__(
            self, crew: Workers, count: int, *, stop_seconds: float, own_queues: bool
        ) -> None:
            seen.extend([count, stop_seconds, Path(os.environ[worker_metrics.FOLDER_VARIABLE])])
            assert seen[-1].is_dir()
            assert own_queues == crew.forks
            self.crew = crew

        def run(self) -> None:
            assert self.crew.registry is not None
            assert self.crew.registry.loaded
            self.crew.all_listen()
            self.crew.stopping()

    monkeypatch.setattr(server, "Supervisor", Supervised)
    serve(made(workers=3, request_timeout_seconds=10, drain_seconds=3))
    assert seen[:2] == [3, 23]
    assert not seen[2].exists()


def test_a_folder_of_metrics_that_was_named_before_is_named_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.environ[worker_metrics.FOLDER_VARIABLE] = "before"
    monkeypatch.setattr(worker_metrics, "SHARED_MEMORY", tmp_path / "none")
    with worker_metrics.metrics_folder():
        assert os.environ[worker_metrics.FOLDER_VARIABLE] != "before"
    assert os.environ[worker_metrics.FOLDER_VARIABLE] == "before"


class Context:
    """Notes the processes that would be started."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []

    def Process(self, **given: Any) -> Any:
        self.started.append(given)

        class Process:
            def start(self) -> None:
                pass

        return Process()


@pytest.fixture
def crew(made: Callable[..., Settings]) -> Iterator[Workers]:
    settings = made(workers=2)
    found = Workers(settings, bind_port(settings.host, 0))
    with control_folder():
        yield found
    found.stopping()


def test_a_forked_worker_has_a_socket_of_its_own_and_the_supervisors_models(crew: Workers) -> None:
    crew.context = Context()
    ours, theirs = Pipe()
    for slot in (0, 1):
        crew.start(Start(slot, slot, theirs, [ours]))
    first, second = (given["args"] for given in crew.context.started)
    assert first[1] is second[1] is crew.registry
    assert (first[2], second[2]) == tuple(crew.ports)
    assert first[3].inherited == [ours, *second[2]]
    assert second[3].inherited == [ours, *first[2]]
    addresses = {one.getsockname() for port in crew.ports for one in port}
    assert len(addresses) == 1


def test_a_worker_that_begins_afresh_shares_one_socket_and_loads_its_own_models(
    made: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "start_method", lambda _: "spawn")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    settings = made(workers=2).model_copy(update={"device": "cuda"})
    crew = Workers(settings, bind_port(settings.host, 0))
    crew.context = Context()
    ours, theirs = Pipe()
    for slot in (0, 1):
        crew.start(Start(slot, slot, theirs, [ours]))
    first, second = (given["args"] for given in crew.context.started)
    assert (first[0].device, second[0].device) == ("cuda:0", "cuda:1")
    assert (first[1], second[1]) == (None, None)
    assert first[2] is second[2]
    assert first[3].inherited == []
    crew.pausing(1)  # the other goes on listening on it
    crew.stopping()


def test_a_restart_reads_settings_and_models_anew(
    crew: Workers, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, host = crew.registry, crew.settings.host
    os.environ |= {
        "VAE_MODEL_REPOSITORY": str(repository),
        "VAE_MAX_ITEMS": "7",
        "VAE_WORKERS": "9",
    }
    warned: list[Any] = []
    monkeypatch.setattr(server.log, "warning", lambda _, extra: warned.append(extra["fields"]))
    assert crew.renew()
    assert (crew.settings.max_items, crew.settings.workers, crew.settings.host) == (7, 2, host)
    assert crew.registry is not models
    assert warned == [{"settings": ["VAE_PORT", "VAE_WORKERS"]}]


def test_a_restart_with_a_wrong_setting_is_refused(
    crew: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = crew.registry
    os.environ["VAE_MAX_ITEMS"] = "many"
    told: list[Any] = []
    monkeypatch.setattr(server.log, "error", lambda _, extra: told.append(extra["fields"]))
    assert not crew.renew()
    assert crew.registry is models
    assert "VAE_MAX_ITEMS=many" in told[0]["error"]


def test_a_slot_without_a_worker_takes_no_connections(crew: Workers) -> None:
    (own,) = crew.ports[1]
    own.listen()
    crew.pausing(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(own.getsockname())


def test_a_worker_that_ended_leaves_neither_gauges_nor_a_report(
    crew: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(worker_metrics.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "gauge_livesum_1.db").touch()
    (tmp_path / "counter_1.db").touch()
    boards = [open_board(number) for number in (0, 1)]
    for board in boards:
        board.report(Report(board.read().number, {}))
    crew.ended(1)
    assert [file.name for file in tmp_path.iterdir()] == ["counter_1.db"]
    assert [file.name for file in boards[0].folder.iterdir()] == ["0.report"]


def test_a_worker_serves_its_supervisors_models_or_its_own(
    crew: Workers, ran: list[Server]
) -> None:
    ours, theirs = Pipe()
    for registry in (crew.registry, None):
        work(crew.settings, registry, [], Start(0, 0, theirs, []))
    shared, own = ran
    assert shared.lifecycle.registry is crew.registry
    assert own.lifecycle.registry is not crew.registry
    assert own.lifecycle.status() == "ok"
    assert own.supervisor is theirs
    ours.close()


def test_a_worker_without_a_supervisor_removes_the_folder_of_metrics(
    crew: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    os.environ[worker_metrics.FOLDER_VARIABLE] = str(folder)
    monkeypatch.setattr(Server, "run", lambda self, _: setattr(self, "orphaned", True))
    ours, theirs = Pipe()
    work(crew.settings, crew.registry, [], Start(0, 0, theirs, []))
    assert not folder.exists()
    ours.close()
