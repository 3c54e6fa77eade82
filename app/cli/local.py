"""The client of a command: of a running service by its URL, or of the app in this process.

Both send the same requests, so they give the same numbers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.main import create_app
from app.settings import Settings
from vae_client.client import Client
from vae_client.errors import CallError

CONNECT_SECONDS = 10.0


@asynccontextmanager
async def open_client(
    url: str | None, api_key: str | None, model: str | None, version: int | None
) -> AsyncIterator[Client]:
    """A client of a running service, or of the app in this process when there is no URL."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise CallError(f"--url {url} is not a URL of HTTP. Use --url http://{url}.")
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers) as http:
            yield Client(http, model, version)
        return
    app = create_app(local_settings())
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://vae") as http:
            yield Client(http, model, version)


def local_settings() -> Settings:
    """Settings of the environment, without the keys, log and deadline of a server."""
    return Settings(access_log=False, api_keys_sha256=(), request_timeout_seconds=86400.0)
