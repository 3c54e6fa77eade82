"""Runs the app under uvicorn: the port is bound, models are loaded, then one worker or several."""

import gc
import json
import logging
import logging.config
import multiprocessing
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import torch
import uvicorn
from pydantic import ValidationError

from app.api.logs import log_config
from app.api.protocol import serving_protocol
from app.api.setting_faults import explain_failure
from app.api.worker_metrics import (
    count_as_worker,
    forget_worker,
    metrics_folder,
    remove_metrics_folder,
)
from app.cli.welcome import welcome
from app.main import check_settings, create_app, entry, make_registry
from app.serving.cpus import default_threads
from app.serving.lifecycle import Server, say_stopping
from app.serving.model_control import control_folder, open_board, remove_control_folder
from app.serving.ports import (
    bind_port,
    close_sockets,
    pause_listening,
    share_port,
    url_of,
)
from app.serving.registry import Registry
from app.serving.workers import Start, Supervisor, device_of, leave_supervisor, start_method
from app.settings import Settings, load_settings
from models.errors import VAEError

log = logging.getLogger("app")

GRACE_SECONDS = 5.0
"""Added to the request deadline on shutdown, so that the last answer can be written."""
FIXED = ("host", "port", "workers", "device")
"""Settings that a restart of the workers does not change."""


def serve(settings: Settings) -> None:
    """Bind the port, load the models, and serve until a signal.

    Raises:
        ConfigError: The port cannot be bound.
        ChildProcessError: The first workers ended before they listened.
    """
    configure_logs(settings)
    port = bind_port(settings.host, settings.port)
    if settings.workers == 1:
        registry = make_registry(settings, settings.compute_threads or default_threads(1))
        registry.load()
        keep_out_of_collections()
        server = make_server(settings, registry)
        server.listening = partial(announce, settings, port, registry)
        server.run(port)
        return
    with metrics_folder(), control_folder():
        crew = Workers(settings, port)
        stop_seconds = settings.drain_seconds + stop_timeout(settings) + GRACE_SECONDS
        Supervisor(crew, settings.workers, stop_seconds=stop_seconds, own_queues=crew.forks).run()


def configure_logs(settings: Settings) -> None:
    """Log in words on a terminal, and in JSON lines elsewhere."""
    logging.config.dictConfig(log_config(settings.log_level, terminal=sys.stderr.isatty()))


def announce(settings: Settings, port: list[socket.socket], registry: Registry | None) -> None:
    """Say where the server listens: in words on a terminal, and as a line of the log elsewhere."""
    url = url_of(port)
    if sys.stderr.isatty():
        welcome(url, registry, docs=settings.docs)
    else:
        log.info("listening", extra={"fields": {"url": url, "workers": settings.workers}})


def stop_timeout(settings: Settings) -> int:
    """Seconds in which the requests in flight must end on shutdown."""
    return int(settings.request_timeout_seconds + GRACE_SECONDS)


def make_server(settings: Settings, registry: Registry, worker: Start | None = None) -> Server:
    """The server of one process over loaded models: a worker's, or of a process alone."""
    board = None if worker is None else open_board(worker.number)
    app = create_app(settings, registry, board=board)
    config = uvicorn.Config(
        entry(app),
        interface="asgi3",
        http=serving_protocol(settings, app.state.service.metrics.count_rejection),
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=stop_timeout(settings),
    )
    return Server(
        config,
        app.state.lifecycle,
        drain_seconds=settings.drain_seconds,
        supervisor=None if worker is None else worker.channel,
    )


class Workers:
    """The workers of a service: processes that serve the app behind one port."""

    def __init__(self, settings: Settings, port: list[socket.socket]) -> None:
        """Load the models, where workers can share them.

        Args:
            settings: The service's.
            port: The sockets of the port, one for each of its addresses.
        """
        self.settings = settings
        self.context: Any = multiprocessing.get_context(start_method(settings.device))
        self.forks = self.context.get_start_method() == "fork"
        # Workers that begin afresh take long to replace: none may have connections of its own.
        others = range(settings.workers - 1) if self.forks else ()
        self.ports = [port, *(share_port(port) for _ in others)]
        self.registry: Registry | None = self._load()

    def _load(self) -> Registry | None:
        """The models, loaded on one thread: a fork is safe only while torch has started none."""
        if not self.forks:
            return None
        registry = make_registry(self.settings, 1)
        registry.load()
        keep_out_of_collections()
        return registry

    def start(self, start: Start) -> BaseProcess:
        """Start a worker's process."""
        settings = self.settings
        device = device_of(settings.device, start.slot, torch.cuda.device_count())
        settings = settings.model_copy(update={"device": device})
        port = self.ports[start.slot % len(self.ports)]
        unused = [one for ports in self.ports if ports is not port for one in ports]
        inherited: list[Any] = [*start.inherited, *unused] if self.forks else []
        process: BaseProcess = self.context.Process(
            target=work,
            args=(settings, self.registry, port, replace(start, inherited=inherited)),
            name=f"worker {start.number}",
        )
        process.start()
        return process

    def renew(self) -> bool:
        """Read the settings and the models anew; keep the present ones if a setting is wrong."""
        try:
            settings = load_settings()
            check_settings(settings)
        except (ValidationError, VAEError, OSError) as error:
            fields = {"error": explain_failure(error)}
            log.error("restart refused: a setting is wrong", extra={"fields": fields})
            return False
        fixed = {name: getattr(self.settings, name) for name in FIXED}
        changed = [name for name in FIXED if getattr(settings, name) != fixed[name]]
        if changed:
            names = {"settings": [f"VAE_{name.upper()}" for name in changed]}
            log.warning("settings that only a new start changes", extra={"fields": names})
        self.settings = settings.model_copy(update=fixed)
        configure_logs(self.settings)
        self.registry = None
        gc.unfreeze()
        self.registry = self._load()
        return True

    def all_listen(self) -> None:
        """Say where the service listens."""
        announce(self.settings, self.ports[0], self.registry)

    def stopping(self) -> None:
        """Close this process's ends of the port, so that the workers' are the last."""
        say_stopping(self.settings.drain_seconds)
        for port in self.ports:
            close_sockets(port)

    def ended(self, number: int) -> None:
        """Drop the gauges of a worker that has ended, and its report."""
        forget_worker(number)
        open_board(number).close()

    def pausing(self, slot: int) -> None:
        """Let connections go to the other workers."""
        if len(self.ports) > 1:
            pause_listening(self.ports[slot])


def work(
    settings: Settings, registry: Registry | None, port: list[socket.socket], start: Start
) -> None:
    """Serve in a worker's process, over the models of the supervisor or its own."""
    leave_supervisor(start)
    configure_logs(settings)
    count_as_worker(start.number)
    threads = settings.compute_threads or default_threads(settings.workers)
    if registry is None:
        registry = make_registry(settings, threads)
        registry.load()
        keep_out_of_collections()
    torch.set_num_threads(threads)
    server = make_server(settings, registry, start)
    server.run(port)
    if server.orphaned:
        remove_metrics_folder()
        remove_control_folder()


COLLECTION_THRESHOLDS = 20_000, 20, 50
"""New objects before a collection, and collections before one of older objects. Python's 700, 10
and 10 are met some 20 times a second where 500 requests wait, and each walks all of these."""


def keep_out_of_collections() -> None:
    """Let the garbage collector pass by what there is: libraries and models stay.

    They are 340,000 objects, which a full collection walks for some 0.2 s while requests wait; in a
    worker it would write to, and so copy, what is shared.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)


def export_flags(flags: Mapping[str, Any]) -> None:
    """Put flags into the environment, where this process and its workers find them."""
    for name, value in flags.items():
        if value is not None and value != []:
            text = json.dumps(value) if isinstance(value, list | bool) else str(value)
            os.environ[f"VAE_{name.upper()}"] = text
