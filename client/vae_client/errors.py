"""The exceptions of a call that failed."""

from collections.abc import Mapping


class CallError(Exception):
    """The service refused or could not be reached; the message is for the user."""


class Refused(CallError):
    """The service refused a request; the message is the service's own, with the files' names.

    Attributes:
        status: The HTTP status.
        parameter: The parameter at fault, if the service names one.
        items: The reason for each item at fault, by its position in the request.
        detail: The service's own message alone.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        parameter: str | None = None,
        items: Mapping[int, str] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.parameter = parameter
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
