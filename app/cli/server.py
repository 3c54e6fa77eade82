"""Runs the app under uvicorn and lets it drain before it stops; it knows nothing of what is served.

On SIGTERM or SIGINT /readyz says 503 at once; after the drain delay, in which load balancers see
that, uvicorn stops listening and finishes what is in flight. A second signal does not wait.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import uvicorn

from app.settings import Settings

GRACE_SECONDS = 5.0
"""Beyond the deadline of the last request, for its answer to be written."""
WORKER_START_SECONDS = 60
"""How long a worker may be deaf while it loads, before it is taken for dead."""


def serve(settings: Settings) -> None:
    """Serve until a signal comes; the app reads its settings from the environment."""
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
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


def log_config(level: str) -> dict[str, Any]:
    """JSON lines on standard error, from this service and from uvicorn."""
    logger = {"handlers": ["lines"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "app.api.logs.JSONFormatter"}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {"app": logger, "uvicorn": logger},
    }
