"""API keys: the middleware that asks for one, and the hash that is stored of it."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import PROBES, record_of
from app.api.problems import describe
from app.errors import Unauthorized

OPEN_PATHS = (*PROBES, "/", "/docs", "/openapi.json")
OPEN_PREFIXES = ("/assets/", "/problems/")


class RequireKey:
    """Refuses requests without a known API key, where keys are set."""

    def __init__(self, app: ASGIApp, *, digests: Iterable[str], open_metrics: bool) -> None:
        """Wrap an app.

        Args:
            app: What the key opens.
            digests: Hex sha256 of each key.
            open_metrics: Whether /metrics needs none.
        """
        self.app = app
        self.digests = [digest.encode() for digest in digests]
        self.open_paths = (*OPEN_PATHS, "/metrics") if open_metrics else OPEN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that may pass."""
        if scope["type"] != "http" or self._may_pass(scope):
            await self.app(scope, receive, send)
            return
        error = Unauthorized(
            "A request carries `Authorization: Bearer KEY` with a key of this service; this one "
            "does not. Ask its operator for a key.",
            headers={"WWW-Authenticate": 'Bearer realm="vae"'},
        )
        record = record_of(scope)
        answer = describe(error, instance=scope["path"], request_id=record.request_id)
        await answer(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in self.open_paths or path.startswith(OPEN_PREFIXES):
            return True
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        digest = hash_key(key.strip()).encode()
        matches = [hmac.compare_digest(digest, known) for known in self.digests]
        return any(matches)


def hash_key(key: str) -> str:
    """Hex sha256 of an API key: what the settings store."""
    return hashlib.sha256(key.encode()).hexdigest()
