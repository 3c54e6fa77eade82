"""What goes wrong between a client and the service."""


class CallError(Exception):
    """The service refused or could not be reached; the message is for the user."""
