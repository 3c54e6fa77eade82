"""Sends a command's requests over a given HTTP client, and explains what fails."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx
import numpy as np

from vae_client.answers import no_answer, read_arrays
from vae_client.errors import CallError
from vae_client.operations import model_path
from vae_client.refusals import refusal, refusal_of
from vae_client.sources import Source
from vae_client.streaming import arrays_of


@dataclass
class Client:
    """Sends requests to one model of a service."""

    http: httpx.AsyncClient
    model: str | None
    version: int | None

    @property
    def base(self) -> str:
        """Path of the model."""
        return model_path(self.model, self.version)

    async def models(self) -> list[dict[str, Any]]:
        """All models, broken ones too."""
        listed: list[dict[str, Any]] = (await self._read("/v1/models"))["models"]
        return listed

    async def describe(self) -> dict[str, Any]:
        """The model that answers; from then on requests name its version."""
        if self.model is None:
            listed = await self._read("/v1/models")
            self.model = default_model(listed["models"], listed.get("reason"))
        described = await self._read(self.base)
        self.version = described["version"]
        return described

    async def call(
        self,
        method: str,
        operation: str,
        parameters: Mapping[str, Any],
        source: Source | None,
    ) -> dict[str, np.ndarray]:
        """Send one request with all items of a source; the answer's fields by their names."""
        query = {**(source.defaults if source else {}), **parameters, "format": "npz"}
        body = source.request() if source else {}
        labels = source.labels if source else ()
        response = await self._send(
            method, f"{self.base}/{operation}", labels, params=query, **body
        )
        return read_arrays(response.content)

    async def stream(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        source: Source,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> dict[str, np.ndarray]:
        """Send one request whose answer comes line by line; the fields of the last by their names.

        Args:
            operation: Its name.
            parameters: Of the query.
            source: The items.
            tell: Called with each line before the last.
        """
        query = {**source.defaults, **parameters, "format": "ndjson"}
        path = f"{self.base}/{operation}"
        with self._explained():
            asked = self.http.stream("POST", path, params=query, **source.request())
            async with asked as response:
                if response.status_code != 200:
                    await response.aread()
                    raise refusal(response, source.labels)
                async for line in response.aiter_lines():
                    document = json.loads(line)
                    if "item" in document:
                        tell(document)
                    elif "results" in document:
                        return arrays_of(document)
                    else:
                        raise refusal_of(document, source.labels)
        raise CallError("The answer ended before its last line. Ask again.")

    async def _send(
        self, method: str, path: str, labels: Sequence[str] = (), **arguments: Any
    ) -> httpx.Response:
        with self._explained():
            response = await self.http.request(method, path, **arguments)
        if response.status_code != 200:
            raise refusal(response, labels)
        return response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say why the service cannot be reached, and what to do."""
        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            url = str(self.http.base_url).rstrip("/")
            proxy = _proxy(self.http.base_url)
            fix = (
                f"{proxy} is set: where the service is not behind it, set "
                f"NO_PROXY={self.http.base_url.host}"
                if proxy
                else "Start a service with vae serve, or leave --url out to compute in this process"
            )
            raise CallError(f"Cannot reach {url}: {reason.rstrip('.')}. {fix}.") from error

    async def _read(self, path: str) -> dict[str, Any]:
        """The JSON object at a path."""
        response = await self._send("GET", path)
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict) or not document.keys() & {"models", "version"}:
            raise no_answer(response)
        return document


def _proxy(url: httpx.URL) -> str | None:
    """The variable of the environment that sends a URL's requests to a proxy."""
    schemes = [scheme for scheme in (url.scheme, "all") if scheme in getproxies()]
    return f"{schemes[0].upper()}_PROXY" if schemes and not proxy_bypass(url.host) else None


def default_model(models: Sequence[Mapping[str, Any]], reason: str | None = None) -> str:
    """Name of the default model of a list of models.

    Args:
        models: Entries of the list.
        reason: What the service says of missing models, such as that they are loading.

    Raises:
        CallError: There is none; says which to name.
    """
    ready = sorted({str(entry["name"]) for entry in models if entry["status"] == "ready"})
    broken = [entry for entry in models if entry["status"] == "broken"]
    for entry in models:
        if entry["default"]:
            return str(entry["name"])
    if ready:
        raise CallError(
            reason
            or f"There is no default model. Name one with --model {ready[0]}; available: "
            f"{', '.join(ready)}."
        )
    if broken:
        first = broken[0]
        raise CallError(
            f"No model can be served: {first['name']} is broken ({first['reason']}). `vae models` "
            "lists all of them."
        )
    raise CallError(
        reason
        or "There are no models. Set VAE_MODEL_REPOSITORY to a folder of bundles, "
        "<model>/<version>/."
    )
