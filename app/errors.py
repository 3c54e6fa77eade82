"""Exceptions of the service; app/api/problems.py has their statuses and their answers.

VAEError                  (models/errors.py draws the rest of the tree)
  ServiceError
    MalformedRequest      the request breaks HTTP/1.1, or its body is not what its Content-Type says
    InvalidParameter      a parameter unknown, out of bounds, given twice or in conflict
    Unauthorized          no API key, or an unknown one
    ModelControlClosed    models are not loaded and unloaded by requests here
    UnknownModel          no such model or version is served
    NoDefaultModel        several models are served, and the path names none
    BrokenModel           the bundle that is to be loaded is broken
    NotAcceptable         the answer has none of the forms asked for
    ModelNotReady         the models are still loading, or the server is shutting down
    QueueFull             the queue has no room for the request
    ServerBusy            too many connections, or too many bytes of bodies
    DeadlineExceeded      the request took longer than its deadline
    ReceiveTimeout        the request did not arrive in time
    TargetTooLong         the request line is longer than is read
    HeadersTooLarge       the headers are more, or longer, than are read
    UnsupportedVersion    the request is of another HTTP version
    ClientDisconnected    the client hung up before the answer
"""

from collections.abc import Mapping
from typing import Any, Literal

from models.errors import VAEError

Reason = Literal[
    "busy", "deadline", "queue", "loading", "draining", "connections", "buffered", "slow_client"
]


class ServiceError(VAEError):
    """Root of the service's exceptions.

    Attributes:
        headers: HTTP headers of the answer, such as Retry-After.
        reason: Why the server turns away what is no fault of the request, as a metric's label.
    """

    reason: Reason | None = None

    def __init__(
        self,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        reason: Reason | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.headers = dict(headers or {})
        if reason is not None:
            self.reason = reason


class MalformedRequest(ServiceError):
    """The request breaks HTTP/1.1, or its body is not what its Content-Type says."""


class InvalidParameter(ServiceError):
    """A parameter is unknown, out of its bounds, given twice or in conflict."""


class Unauthorized(ServiceError):
    """The request carries no API key, or an unknown one."""


class ModelControlClosed(ServiceError):
    """This server does not load and unload models by requests, or has no admin key."""


class BrokenModel(ServiceError):
    """The bundle that is to be loaded is broken; what served before goes on serving."""


class UnknownModel(ServiceError):
    """No such model or version is served."""


class NoDefaultModel(ServiceError):
    """Several models are served, none of them is the default, and the path names none."""


class NotAcceptable(ServiceError):
    """The answer has none of the forms that the caller accepts."""


class ModelNotReady(ServiceError):
    """The models are still loading, or the server is shutting down."""

    reason = "loading"


class QueueFull(ServiceError):
    """The queue has no room for the request."""

    reason = "busy"


class ServerBusy(ServiceError):
    """The server has too many connections, or too many bytes of bodies, to take another."""

    reason = "connections"


class DeadlineExceeded(ServiceError):
    """The request took longer than its deadline."""


class ReceiveTimeout(ServiceError):
    """The request came too slowly: its head, the next piece of its body, or its body on average."""

    reason = "slow_client"


class TargetTooLong(ServiceError):
    """The request line is longer than is read."""


class HeadersTooLarge(ServiceError):
    """The headers are more, or longer, than are read."""


class UnsupportedVersion(ServiceError):
    """The request is of another HTTP version than 1.1 or 1.0."""


class ClientDisconnected(ServiceError):
    """The client hung up before the answer; logged with nginx's status 499."""
