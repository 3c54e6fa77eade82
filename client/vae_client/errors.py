"""The exceptions of a call that failed.

CallError
    Unreachable         no service answers at the URL, or not in time
    Refused             the service refused the request: a problem+json answer
    UnreadableItems     files of a request cannot be read
"""

from collections.abc import Mapping, Sequence
from typing import Any


class CallError(Exception):
    """A call failed; the message is for the user."""


class Unreachable(CallError):
    """No service answers at the URL, or not within the time that is allowed."""


class Refused(CallError):
    """The service refused a request; the message is the service's own, with the files' names.

    Attributes:
        status: The HTTP status.
        type: The kind of problem, such as "invalid-parameter"; docs/api.md lists them.
        detail: The service's own message alone.
        parameter: The parameter at fault, if the service names one.
        received: The value that the service received.
        allowed: The values that are allowed.
        limit: The bound that the value crosses.
        suggestion: What to send instead.
        request_id: By which the service's log has the request.
        items: The reason for each item at fault, by its position in what was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        parameter: str | None = None,
        items: Mapping[int, str] | None = None,
        detail: str = "",
        type: str = "",
        received: Any = None,
        allowed: Sequence[Any] | None = None,
        limit: float | None = None,
        suggestion: Any = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.parameter = parameter
        self.received = received
        self.allowed = allowed
        self.limit = limit
        self.suggestion = suggestion
        self.request_id = request_id
        self.items = dict(items or {})
        self.detail = detail or message

    @property
    def about_the_file(self) -> bool:
        """Whether the fault is the request's content, not its parameters."""
        if self.items or self.parameter in ABOUT_THE_FILE:
            return True
        return self.parameter is None and self.status in (413, 415)


ABOUT_THE_FILE = ("body", "images", "latents", "dtype")
"""Parameters of a problem that are the request's file."""


class UnreadableItems(CallError):
    """Files of a request that cannot be read; `items` has the reason for each by its position."""

    def __init__(self, message: str, items: Mapping[int, str]) -> None:
        super().__init__(message)
        self.items = dict(items)
