"""What can go wrong in training besides the errors of `models`."""

from models.errors import VAEError


class DatasetError(VAEError):
    """A data set is unknown, not at hand, or not what it claims to be."""


class RunError(VAEError):
    """A run cannot go on: its folder cannot be written or read back, or training diverged."""


class Interrupted(VAEError):
    """A run was asked to end before its time, and can be resumed.

    Attributes:
        exit_code: What a process ends with that obeys the signal: 128 and its number.
    """

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
