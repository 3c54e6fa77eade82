"""Sends an operation's requests over a given HTTP client, and explains what is refused.

It prints and writes nothing.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from vae_client.errors import CallError
from vae_client.sources import Source


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
        method: str,
        operation: str,
        parameters: Mapping[str, Any],
        source: Source | None,
        part: slice,
    ) -> dict[str, np.ndarray]:
        """One request; every field of the answer by its name."""
        query = {**(source.defaults() if source else {}), **parameters, "format": "npz"}
        body = source.request(part) if source else {}
        labels = source.labels[part] if source else ()
        response = await self._send(
            method, f"{self.base}/{operation}", labels, params=query, **body
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
