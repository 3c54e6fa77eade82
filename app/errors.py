"""The service's own exceptions, and the one table from any exception to (status, slug).

It renders RFC 9457 problems; it logs nothing and catches nothing.

    VAEError                  (models/errors.py draws the rest of the tree)
      ServiceError
        MalformedRequest      a body or a parameter that cannot be parsed at all
        InvalidParameter      a parameter out of bounds, unknown, twice or in conflict
        Unauthorized          no API key, or a wrong one
        UnknownModel          no such model or version is served
        NotAcceptable         the answer has none of the forms asked for
        ModelNotReady         the models are still loading
        QueueFull             more work than the queue holds
        DeadlineExceeded      the request's time is over
        ClientDisconnected    nobody is left to answer
"""

from collections.abc import Mapping
from typing import Any

from models.errors import (
    VAEError,
)


class ServiceError(VAEError):
    """The root of what only a service can say.

    Attributes:
        headers: HTTP headers that the answer must carry.
    """

    def __init__(
        self, message: str, *, headers: Mapping[str, str] | None = None, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.headers = dict(headers or {})


class MalformedRequest(ServiceError):
    """A body that is not what its Content-Type says: broken JSON, multipart or array."""


class InvalidParameter(ServiceError):
    """A parameter that is unknown, given twice, in conflict or out of its bounds."""


class Unauthorized(ServiceError):
    """The request carries no API key, or one that is not known."""


class UnknownModel(ServiceError):
    """No model or no version of that name is served."""


class NotAcceptable(ServiceError):
    """The operation has none of the forms that the caller accepts."""


class ModelNotReady(ServiceError):
    """The models are still loading."""


class QueueFull(ServiceError):
    """The queue holds as much work as it may."""


class DeadlineExceeded(ServiceError):
    """The request was not answered within its time."""


class ClientDisconnected(ServiceError):
    """The caller hung up; logged with nginx's 499, sent to nobody."""
