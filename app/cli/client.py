"""Calls the service for the commands: a running one by its URL, or the app in this process.

Both ways send the same requests, so they give the same numbers. It prints and writes nothing.
"""

import io
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.main import create_app
from app.operations.table import Operation
from app.settings import Settings
from models.images.axes import as_batch
from models.images.spec import ImageSpec

MEDIA_TYPE_OF_SUFFIX = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
ARRAY_SUFFIXES = (".npy", ".npz")
CONNECT_SECONDS = 10.0


class CallError(Exception):
    """The service refused or could not be reached; the message is for the user."""


@dataclass(frozen=True)
class Source:
    """Items of one kind that can share a request: picture files, or the rows of one array."""

    labels: tuple[str, ...]
    files: tuple[Path, ...] = ()
    array: np.ndarray | None = None
    kind: str = "images"

    def request(self, part: slice) -> dict[str, Any]:
        """Arguments of httpx for some of the items."""
        if self.array is not None:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **{self.kind: self.array[part]})
            return {
                "content": buffer.getvalue(),
                "headers": {"Content-Type": "application/x-npz"},
            }
        return {
            "files": [
                (
                    "images",
                    (path.name, path.read_bytes(), MEDIA_TYPE_OF_SUFFIX[path.suffix.lower()]),
                )
                for path in self.files[part]
            ]
        }

    def defaults(self) -> dict[str, str]:
        """What the whole array says and a part of it might not."""
        if self.array is None or self.kind != "images" or self.array.dtype.kind not in "ui":
            return {}
        return {} if self.array.max(initial=0) == 1 else {"pixel_max": "255"}


@dataclass
class Client:
    """Sends an operation's requests and joins the answers."""

    http: httpx.AsyncClient
    model: str | None
    version: int | None

    @property
    def base(self) -> str:
        """Path of the model."""
        if self.model is None:
            return "/v1"
        path = f"/v1/models/{self.model}"
        return path if self.version is None else f"{path}/versions/{self.version}"

    async def models(self) -> list[dict[str, Any]]:
        """All models."""
        listed: list[dict[str, Any]] = (await self._send("GET", "/v1/models")).json()["models"]
        return listed

    async def describe(self) -> dict[str, Any]:
        """The model that will answer."""
        if self.model is None:
            defaults = [entry["name"] for entry in await self.models() if entry["default"]]
            if not defaults:
                raise CallError("The service has no default model. Name one with --model.")
            self.model = defaults[0]
        described: dict[str, Any] = (await self._send("GET", self.base)).json()
        self.version = described["version"]
        return described

    async def call(
        self,
        operation: Operation,
        parameters: Mapping[str, Any],
        source: Source | None,
        part: slice,
    ) -> dict[str, np.ndarray]:
        """One request; every field of the answer by its name."""
        query = {**(source.defaults() if source else {}), **parameters, "format": "npz"}
        body = source.request(part) if source else {}
        labels = source.labels[part] if source else ()
        response = await self._send(
            operation.method, f"{self.base}/{operation.name}", labels, params=query, **body
        )
        with np.load(io.BytesIO(response.content), allow_pickle=False) as arrays:
            return dict(arrays)

    async def _send(
        self, method: str, path: str, labels: Sequence[str] = (), **arguments: Any
    ) -> httpx.Response:
        try:
            response = await self.http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise CallError(
                f"A service answers at {self.http.base_url}; it does not: {reason}."
            ) from error
        if response.status_code != 200:
            raise CallError(_explain(response, labels))
        return response


def _explain(response: httpx.Response, labels: Sequence[str]) -> str:
    """A problem in the user's words: files instead of item numbers."""
    try:
        problem = response.json()
        lines = [f"{problem['title']} ({problem['status']}): {problem['detail']}"]
    except (ValueError, KeyError, TypeError):
        return f"The service answered {response.status_code} {response.reason_phrase}."
    for item in problem.get("items", []):
        if item["index"] < len(labels):
            lines.append(f"  {labels[item['index']]}: {item['reason']}")
    return "\n".join(lines)


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


# Inputs ----------------------------------------------------------------------------------------


def find_files(paths: Sequence[str]) -> list[Path]:
    """The files that paths, folders and globs name; folders are searched to the bottom.

    Raises:
        CallError: A path names nothing that can be read.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            matches = sorted(p for p in path.rglob("*") if is_readable(p))
        elif any(letter in text for letter in "*?["):
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(path.anchor) if path.is_absolute() else path)
            matches = sorted(p for p in anchor.glob(pattern) if is_readable(p))
        else:
            matches = [path] if is_readable(path) else []
        if not matches:
            suffixes = ", ".join((*MEDIA_TYPE_OF_SUFFIX, *ARRAY_SUFFIXES))
            raise CallError(
                f"Inputs are files, folders or globs of {suffixes}; {text!r} names none. Check "
                "the path."
            )
        found += matches
    return found


def is_readable(path: Path) -> bool:
    """Whether a path is a file whose suffix is one that is read."""
    suffix = path.suffix.lower()
    return path.is_file() and (suffix in MEDIA_TYPE_OF_SUFFIX or suffix in ARRAY_SUFFIXES)


def open_sources(files: Sequence[Path], operation: Operation, spec: ImageSpec) -> list[Source]:
    """Files as sources, neighbouring pictures together.

    Raises:
        CallError: A file is not an array, or the operation takes no pictures.
    """
    sources: list[Source] = []
    pictures: list[Path] = []
    for path in [*files, None]:
        if path is not None and path.suffix.lower() in MEDIA_TYPE_OF_SUFFIX:
            if "images" not in operation.takes:
                raise CallError(
                    f"`{operation.name}` takes latents (.npy, .npz); {path} is a picture."
                )
            pictures.append(path)
            continue
        if pictures:
            sources.append(Source(tuple(map(str, pictures)), files=tuple(pictures)))
            pictures = []
        if path is not None:
            sources.append(_array_source(path, operation, spec))
    return sources


def _array_source(path: Path, operation: Operation, spec: ImageSpec) -> Source:
    try:
        loaded = np.load(path, allow_pickle=False)
        named = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CallError(
            f"{path} is no array that numpy can read without pickle: {error}"
        ) from error
    wanted = [kind for kind in operation.takes if kind in named] or list(named)[:1]
    if not wanted or (len(named) > 1 and wanted[0] not in operation.takes):
        raise CallError(
            f"{path} holds {', '.join(named)}; `{operation.name}` takes "
            f"{' or '.join(operation.takes)}. Save one array of that name."
        )
    array = named[wanted[0]]
    kind = wanted[0] if wanted[0] in operation.takes else operation.takes[0]
    if kind == "images":
        array = as_batch(array, spec)
    return Source(tuple(f"{path}[{i}]" for i in range(len(array))), array=array, kind=kind)


def parts(num_items: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` items."""
    for start in range(0, num_items, size):
        yield slice(start, min(start + size, num_items))
