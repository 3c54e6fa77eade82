"""The exceptions of a call that failed."""


class CallError(Exception):
    """The service refused or could not be reached; the message is for the user."""


class Refused(CallError):
    """The service refused a request; the message is the service's own, with the files' names."""
