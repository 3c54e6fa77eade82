"""Runs the app under uvicorn; `app.serving.lifecycle` drains it before it stops."""

import errno
import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import uvicorn

from app.api.logs import log_config
from app.api.protocol import serving_protocol
from app.settings import Settings
from models.signals import use_default_signals
from vae_client.errors import CallError

GRACE_SECONDS = 5.0
"""Added to the request deadline on shutdown, so that the last answer can be written."""
WORKER_START_SECONDS = 60
"""How long a worker may load before it is taken for dead."""
MAX_PORT = 65535


def serve(settings: Settings) -> None:
    """Serve until a signal; the app reads its settings from the environment."""
    use_default_signals()
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        http=serving_protocol(settings),
        ws="none",
        workers=settings.workers,
        log_config=log_config(settings.log_level),
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_worker_healthcheck=WORKER_START_SECONDS,
        timeout_graceful_shutdown=int(settings.request_timeout_seconds + GRACE_SECONDS),
    )


def export_flags(flags: Mapping[str, Any]) -> None:
    """Put flags into the environment, where this process and its workers find them."""
    for name, value in flags.items():
        if value is not None and value != []:
            text = json.dumps(value) if isinstance(value, list | bool) else str(value)
            os.environ[f"VAE_{name.upper()}"] = text


def check_port(host: str, port: int) -> None:
    """Check that this process can listen on a port.

    Raises:
        CallError: It cannot, such as where another process listens there; gives a fix.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CallError(_port_fault(host, port, error)) from error


def _port_fault(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < MAX_PORT else MAX_PORT - 1
        return f"Port {port} on {host} is in use. Take another one: vae serve --port {other}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs rights of root. Take another one: vae serve --port 8000."
    return (
        f"Cannot listen on {host} ({error.strerror}). Use an address of this machine: vae serve "
        "--host 127.0.0.1."
    )
