"""The client that a command uses: of a running service by its URL, or of the app in this process.

Both ways send the same requests, so they give the same numbers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from app.main import create_app
from app.settings import Settings
from vae_client.client import Client

CONNECT_SECONDS = 10.0


@asynccontextmanager
async def open_client(
    url: str | None, api_key: str | None, model: str | None, version: int | None
) -> AsyncIterator[Client]:
    """A client of a running service, or of the app in this process when there is no URL."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    if url is not None:
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
    """Those of the environment, without what only a server needs."""
    return Settings(access_log=False, api_keys_sha256=(), request_timeout_seconds=86400.0)
