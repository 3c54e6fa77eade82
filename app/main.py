"""Wire the service: settings in, ASGI app out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from app.api.entry import Entry
from app.api.headers import IDENTITY_HEADERS
from app.api.held_out import held_out_routes
from app.api.keys import RequireKey
from app.api.metrics import Metrics
from app.api.middleware import Observe
from app.api.model_control import model_control_routes
from app.api.models import model_routes
from app.api.open_inference import open_inference_routes
from app.api.openapi import openapi_document
from app.api.pages import page_routes
from app.api.probes import probe_routes
from app.api.problems import answer_vae_error
from app.api.redaction import REDACT_SECRETS
from app.api.remote_vae import remote_vae_routes
from app.api.routes import ServeOperations, operation_routes
from app.api.service import Service
from app.api.setting_faults import explain_failure
from app.api.tracing import make_tracing
from app.api.unknown_paths import answer_http_error
from app.compute.passes import record_passes
from app.serving.cpus import default_threads
from app.serving.lane import CHUNK_SECONDS
from app.serving.lifecycle import Lifecycle, drain_on_signals
from app.serving.model_control import Board, OwnBoard
from app.serving.registry import Registry
from app.serving.reload import Reloader
from app.serving.scheduler import Scheduler
from app.serving.startup_checks import check_bounds, check_startup
from app.settings import Settings, load_settings, misspelt_variables
from models import __version__
from models.errors import VAEError

log = logging.getLogger("app")

READER_THREADS = 2


def create_app(
    settings: Settings | None = None,
    registry: Registry | None = None,
    *,
    board: Board | None = None,
    chunk_seconds: float = CHUNK_SECONDS,
) -> FastAPI:
    """The service as an ASGI app.

    Args:
        settings: By default read from the environment and checked; a fault ends the process with
            one message, as under `uvicorn --factory app.main:create_app`.
        registry: The models, loaded; by default they are loaded while the app runs.
        board: Where commands reach this process, by default a board that no other shares.
        chunk_seconds: What a short request may have to wait for a long one.
    """
    settings = settings if settings is not None else _settings_of_environment()
    if registry is None:
        registry = make_registry(settings, settings.compute_threads or default_threads(1))
    metrics = Metrics()
    service = Service(
        settings=settings,
        registry=registry,
        scheduler=Scheduler(
            max_wait=settings.max_wait_seconds,
            max_requests=settings.max_queue_requests,
            threads=settings.compute_threads or default_threads(settings.workers),
            on_chunk=lambda asked, requests, rows: metrics.count_pass(
                asked.function.__name__, requests, rows
            ),
            chunk_seconds=chunk_seconds,
        ),
        metrics=metrics,
        tracing=make_tracing(),
        readers=ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader"),
    )
    lifecycle = Lifecycle(service.registry)
    reloader = Reloader(
        service.registry,
        OwnBoard() if board is None else board,
        control=settings.model_control,
        poll_seconds=settings.model_poll_seconds,
        on_states=service.metrics.show_states,
    )
    app = FastAPI(
        title="vae-serve",
        version=__version__,
        lifespan=_lifespan(service, lifecycle, reloader),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service, app.state.lifecycle = service, lifecycle

    def document() -> dict[str, Any]:
        return openapi_document(
            with_keys=bool(settings.api_keys_sha256),
            metrics_open=settings.metrics_open,
            latents_body=service.registry.default_latents,
            root_path=settings.root_path,
        )

    app.openapi = document  # type: ignore[method-assign]
    app.router.routes += [
        *probe_routes(lifecycle, service.metrics),
        *model_routes(service.registry),
        *held_out_routes(service.registry),
        *model_control_routes(service.registry, reloader, settings),
        *open_inference_routes(service.registry, lifecycle, reloader, settings),
        *operation_routes(service),
        *remote_vae_routes(service),
        *(page_routes(document) if settings.docs else []),
    ]

    app.middleware_stack = _around(app, service)
    return app


def _around(app: FastAPI, service: Service) -> ASGIApp:
    """The router with all middleware around it, without FastAPI's own: a layer costs time.

    Operations are served before the router is asked. `app.state.entry` has them for the server.
    """
    settings = service.settings
    handlers: dict[Any, Any] = {VAEError: answer_vae_error, HTTPException: answer_http_error}
    stack: ASGIApp = ExceptionMiddleware(app.router, handlers)
    stack = operations = ServeOperations(stack, service=service)
    keys: RequireKey | None = None
    if settings.api_keys_sha256:
        stack = keys = RequireKey(
            stack,
            digests=(*settings.api_keys_sha256, *settings.admin_keys_sha256),
            open_metrics=settings.metrics_open,
        )
    if settings.cors_origins:
        stack = CORSMiddleware(
            stack,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=IDENTITY_HEADERS,
        )
    observe = Observe(
        stack,
        metrics=service.metrics,
        access_log=settings.access_log,
        tracing=service.tracing,
        keys=keys,
        root_path=settings.root_path,
    )
    app.state.entry = Entry(app, observe, None if settings.cors_origins else operations)
    return observe


def entry(app: FastAPI) -> Entry:
    """The app for a server."""
    found: Entry = app.state.entry
    return found


def make_registry(settings: Settings, threads: int) -> Registry:
    """The models of the settings, not loaded yet; torch computes on so many threads."""
    return Registry(
        settings.model_repository,
        settings.default_model,
        device=settings.device,
        compute_threads=threads,
        load_models=settings.load_models,
        record=record_passes,
    )


def check_settings(settings: Settings) -> None:
    """Check that the models' folder, the default model and the device exist, and bounds agree.

    Raises:
        ConfigError: One of them does not; names the setting, its value and a fix.
    """
    check_startup(settings.model_repository, settings.default_model, settings.device)
    check_bounds(
        max_body_bytes=settings.max_body_bytes, max_buffered_bytes=settings.max_buffered_bytes
    )


def _settings_of_environment() -> Settings:
    """The settings of a server's process; names that are near those of settings are logged."""
    try:
        settings = load_settings()
        check_settings(settings)
    except (ValidationError, VAEError, OSError) as error:
        raise SystemExit(f"Error: {explain_failure(error)}") from None
    for name, meant in misspelt_variables().items():
        fields = {"variable": name, "suggestion": meant}
        log.warning("a variable of the environment is no setting", extra={"fields": fields})
    return settings


def _lifespan(
    service: Service, lifecycle: Lifecycle, reloader: Reloader
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logging.getLogger("uvicorn.access").addFilter(REDACT_SECRETS)
        drain_on_signals(lifecycle, service.settings.drain_seconds)
        service.scheduler.start()
        service.metrics.watch_queue(lambda: service.scheduler.cost, lambda: service.scheduler.jobs)
        tasks = [
            asyncio.create_task(service.metrics.keep_fresh()),
            asyncio.create_task(reloader.run()),
        ]
        if service.registry.loaded:
            await reloader.catch_up()
        else:
            tasks.append(asyncio.create_task(_load(service, reloader)))
        try:
            yield
        finally:
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            service.metrics.flush()
            service.scheduler.stop()
            service.readers.shutdown(wait=False, cancel_futures=True)
            if service.tracing is not None:
                await asyncio.to_thread(service.tracing.stop)

    return lifespan


async def _load(service: Service, reloader: Reloader) -> None:
    """Load the models on a thread, so that probes answer meanwhile."""
    try:
        await asyncio.to_thread(service.registry.load)
    except Exception as error:  # nobody awaits this task while the service runs
        log.error("loading failed", exc_info=error)
    reloader.tell_states()
