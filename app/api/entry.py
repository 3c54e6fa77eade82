"""Where a server enters the service: an ASGI app, and operations without ASGI's messages.

Both ways come to the same `OperationAt`, behind the same keys, record, log and metrics.
"""

from collections.abc import Awaitable

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.api.middleware import Observe
from app.api.routes import OperationAt, ServeOperations


class Entry:
    """The app for a server, which calls its middleware at once: FastAPI's own layers cost time."""

    def __init__(self, app: FastAPI, observe: Observe, operations: ServeOperations | None) -> None:
        """Enter an app.

        Args:
            app: The app.
            observe: Its outermost middleware.
            operations: Its operations; None where middleware between the two changes answers.
        """
        self._app, self._observe, self._operations = app, observe, operations
        self.answer = observe.answer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request, or the lifespan, over ASGI."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        scope["app"] = self._app
        return self._observe(scope, receive, send)

    def find_operation(self, scope: Scope) -> OperationAt | None:
        """The operation that `answer` answers a request for; None of any other request."""
        return None if self._operations is None else self._operations.find(scope)
