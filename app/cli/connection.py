"""The client of a command: of a running service by its URL, or of the app in this process.

Both send the same requests, so they give the same numbers.
"""

import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.cli.client import Client
from app.cli.in_process import InProcess
from app.serving.catalogue import check_holds_bundles, list_bundles
from app.serving.startup_checks import check_repository
from app.settings import Settings, load_settings
from models.errors import BundleNotFound, ConfigError, printable
from vae_client.errors import CallError

CONNECT_SECONDS = 10.0
CHUNK_SECONDS = 0.1
"""Chunk of a command's own app, where no other request waits: a decoder takes up to a seventh less
for each row than in the service's chunks, and Ctrl-C still ends it at once."""
_URL = re.compile(r"\s*(?:(\w*):?/+)?(?:([^/]*)@)?([^/?#]*)/?(.*)", re.DOTALL)
_PREFIX = re.compile(r"((?!(?:v1|v2|docs)(?:/|$))[\w.~%-]+(?:/|$))*")
"""A path below which a proxy has the service: what comes before the API's own paths."""
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@asynccontextmanager
async def open_client(
    url: str | None,
    api_key: str | None,
    model: str | None,
    version: int | None,
    model_repository: Path | None = None,
) -> AsyncIterator[Client]:
    """A client of a running service, or of the app in this process when there is no URL."""
    if url is not None:
        check_url(url)
        _check_no_repository(url, model_repository)
        async with _connection(url, api_key) as http:
            yield Client(http, model, version)
        return
    quiet = logging.getLogger("app.registry")  # of broken bundles; `vae models` lists them
    quiet.addHandler(logging.NullHandler())
    settings = load_only(local_settings(model_repository), model)
    from app.main import check_settings, create_app  # takes seconds: it imports torch

    check_settings(settings)
    app = create_app(settings, chunk_seconds=CHUNK_SECONDS)
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = InProcess(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vae") as http:
            yield Client(http, model, version)


def _connection(url: str, api_key: str | None) -> httpx.AsyncClient:
    """A connection to a service, through the proxy that the environment names."""
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise CallError(
            "The API key (VAE_API_KEY) holds characters that no header can carry. Copy it again."
        )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        return httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers)
    except OSError as error:  # httpx reads them before it connects
        raise CallError(
            f"The certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: "
            f"{error.strerror}. Correct the path, or unset the variable."
        ) from error
    except (httpx.InvalidURL, ImportError, ValueError) as error:
        raise CallError(_unusable(url, str(error).rstrip("."))) from error


def _unusable(url: str, reason: str) -> str:
    """Why there can be no connection: the proxy that the environment names, or else the URL."""
    names = [name for name in os.environ if name.upper() in PROXY_VARIABLES and os.environ[name]]
    if not names:
        return f"--url {url} cannot be used: {reason}. Use --url http://HOST:PORT."
    unset = " ".join(f"-u {name}" for name in names)
    return (
        f"The proxy of the environment ({', '.join(names)}) cannot be used: {reason}. Do without "
        f"it: env {unset} vae ..."
    )


def check_url(url: str) -> None:
    """Check that a URL is of the form http://HOST:PORT, with a proxy's path prefix if there is one.

    Raises:
        CallError: It is not; says the URL that is most likely meant.
    """
    found = _URL.fullmatch(url)
    assert found is not None  # every part may be empty
    scheme, user, place, path = (found[i] or "" for i in range(1, 5))
    scheme, fault, prefix = scheme.lower(), "", _PREFIX.match(path)
    assert prefix is not None  # it may be empty
    try:
        known = urlsplit(f"//{place}")
        host, port = known.hostname or "", known.port
    except ValueError:
        bracketed = place.lstrip("[").partition("]")[0]
        host, port = bracketed if place[0] == "[" else place.rpartition(":")[0], None
        fault = "has no port from 0 to 65535 after its host"
    exact = url.lower().startswith(f"{scheme}://") and re.fullmatch(r"[^\s\0-\x1f?#\\]+", place)
    is_whole = prefix[0] == path and not user
    if scheme in ("http", "https") and host and exact and is_whole and not fault:
        return
    host = re.sub(r"[^\w.:%-]", "", host) or "localhost"
    meant = f"{f'[{host}]' if ':' in host else host}{'' if port is None else f':{port}'}"
    below = f"/{prefix[0].rstrip('/')}" if prefix[0] else ""
    fix = f"Use --url {'https' if scheme == 'https' else 'http'}://{meant}{below}"
    if user:
        raise CallError(
            f"--url takes no user name and no password. {fix}, with --api-key KEY if it asks for "
            "one."
        )
    raise CallError(
        f"--url takes http://HOST:PORT, with a proxy's path prefix where there is one; "
        f"{printable(url)} {fault or 'is another form'}. {fix}."
    )


def _check_no_repository(url: str, model_repository: Path | None) -> None:
    if model_repository is not None:
        raise CallError(
            f"--model-repository {model_repository} is read in this process, and {url} is another "
            "one (--url or VAE_URL). Leave one of them out."
        )


def local_settings(model_repository: Path | None = None) -> Settings:
    """Settings of the environment, without the keys, log and deadline of a server.

    Raises:
        ConfigError: The folder of the models does not exist, or lacks the default model.
        BundleNotFound: It holds no bundles.
    """
    settings = load_settings(
        model_repository=model_repository,
        access_log=False,
        api_keys_sha256=(),
        model_control="none",
        request_timeout_seconds=86400.0,
    )
    try:
        check_repository(settings.model_repository, settings.default_model)
        check_holds_bundles(settings.model_repository)
    except (BundleNotFound, ConfigError) as error:
        if model_repository is None:
            raise
        words = str(error).replace("VAE_MODEL_REPOSITORY=", "--model-repository ")
        words = words.replace("Set it to", "Name").replace("or unset it", "or leave it out")
        raise CallError(words) from error
    return settings


def load_only(settings: Settings, model: str | None) -> Settings:
    """Settings that load the model of a command alone, or the default one where none is named.

    Where the repository holds no such model, they stay as they are: the app says which there are.
    """
    listed = list_bundles(
        settings.model_repository,
        default_model=settings.default_model,
        load_models=settings.load_models,
    )
    default = next((one.name for one in listed if one.default), None)
    name = default if model is None else model
    if not any(one.name == name and one.status == "found" for one in listed):
        return settings
    return settings.model_copy(update={"load_models": (name,)})
