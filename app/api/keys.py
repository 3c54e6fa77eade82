"""API keys: the middleware that checks them, and the hash that the settings store."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import describe_in
from app.api.routing import PROBES
from app.errors import Unauthorized

OPEN_PATHS = (*PROBES, "/", "/docs", "/openapi.json")
OPEN_PREFIXES = ("/assets/", "/problems/")


class RequireKey:
    """Refuses requests without a known API key; probes and pages stay open."""

    def __init__(self, app: ASGIApp, *, digests: Iterable[str], open_metrics: bool) -> None:
        """Wrap an app.

        Args:
            app: The app behind the keys.
            digests: Hex sha256 of each key.
            open_metrics: Whether /metrics needs no key.
        """
        self.app = app
        self.digests = [digest.encode() for digest in digests]
        self.open_paths = (*OPEN_PATHS, "/metrics") if open_metrics else OPEN_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with a known key, or answer 401."""
        if scope["type"] == "http":
            try:
                self.check(scope["path"], dict(scope["headers"]))
            except Unauthorized as error:
                await describe_in(scope, error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Let a request with a known key pass, and what needs none.

        Raises:
            Unauthorized: It has no key, or another one.
        """
        if path in self.open_paths or path.startswith(OPEN_PREFIXES):
            return
        header = headers.get(b"authorization", b"").decode("latin-1")
        if not _is_known(header, self.digests):
            raise _unauthorized(header)


def check_admin_key(header: str, digests: Iterable[str]) -> None:
    """Check that an Authorization header carries an admin key.

    Raises:
        Unauthorized: It does not.
    """
    if not _is_known(header, [digest.encode() for digest in digests]):
        raise _unauthorized(header, "admin key")


def _is_known(header: str, digests: Iterable[bytes]) -> bool:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer":
        return False
    digest = hash_key(key.strip()).encode()
    matches = [hmac.compare_digest(digest, known) for known in digests]
    return any(matches)


def _unauthorized(header: str, kind: str = "API key") -> Unauthorized:
    if not header:
        fault = f"The request carries no {kind}."
    elif header.partition(" ")[0].lower() != "bearer":
        fault = "The Authorization header is not of the scheme Bearer."
    else:
        fault = f"The key is not one of this server's {kind}s."
    return Unauthorized(
        f"{fault} Send the header Authorization: Bearer KEY, with a key from the server's "
        "operator.",
        headers={"WWW-Authenticate": 'Bearer realm="vae"'},
        parameter="Authorization",
        suggestion="Authorization: Bearer KEY",
    )


def hash_key(key: str) -> str:
    """Hex sha256 of an API key: what the settings store."""
    return hashlib.sha256(key.encode()).hexdigest()
