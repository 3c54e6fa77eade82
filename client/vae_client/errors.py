"""The exception of a call that failed."""


class CallError(Exception):
    """The service refused or could not be reached; the message is for the user."""
