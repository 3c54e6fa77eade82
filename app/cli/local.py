"""The client of a command: of a running service by its URL, or of the app in this process.

Both send the same requests, so they give the same numbers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.cli.startup import check_settings
from app.main import create_app
from app.settings import Settings, load_settings
from vae_client.client import Client
from vae_client.errors import CallError

CONNECT_SECONDS = 10.0


@asynccontextmanager
async def open_client(
    url: str | None,
    api_key: str | None,
    model: str | None,
    version: int | None,
    model_repository: Path | None = None,
) -> AsyncIterator[Client]:
    """A client of a running service, or of the app in this process when there is no URL."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if url is not None:
        check_url(url)
        _check_no_repository(url, model_repository)
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers) as http:
            yield Client(http, model, version)
        return
    settings = local_settings(model_repository)
    check_settings(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://vae") as http:
            yield Client(http, model, version)


def check_url(url: str) -> None:
    """Check that a URL is of the form http://HOST:PORT, without a path.

    Raises:
        CallError: It is not; says the URL that is most likely meant.
    """
    scheme, _, rest = url.rpartition("://")
    place, _, path = rest.partition("/")
    try:
        known = urlsplit(f"//{place}")
        host, port = known.hostname, known.port
    except ValueError:
        host, port = urlsplit(f"//{place.rpartition(':')[0]}").hostname, None
        path = place
    if scheme in ("http", "https") and host and not path and not set("?#") & set(place):
        return
    meant = f"{host or 'localhost'}{'' if port is None else f':{port}'}"
    raise CallError(
        f"--url takes http://HOST:PORT without a path, and {url} is another form. Use --url "
        f"{'https' if scheme == 'https' else 'http'}://{meant}."
    )


def _check_no_repository(url: str, model_repository: Path | None) -> None:
    if model_repository is not None:
        raise CallError(
            f"--model-repository {model_repository} is read in this process, and {url} is another "
            "one (--url or VAE_URL). Leave one of them out."
        )


def local_settings(model_repository: Path | None = None) -> Settings:
    """Settings of the environment, without the keys, log and deadline of a server."""
    return load_settings(
        model_repository=model_repository,
        access_log=False,
        api_keys_sha256=(),
        request_timeout_seconds=86400.0,
    )
