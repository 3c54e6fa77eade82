"""The exceptions of training, beside those of `models.errors`."""

from models.errors import VAEError


class DatasetError(VAEError):
    """A data set is unknown, missing or damaged."""


class RunError(VAEError):
    """A run cannot continue: its folder cannot be written or read, or training diverged."""


class Diverged(RunError):
    """Training diverged: its gradients or its validations are not finite."""


class Interrupted(VAEError):
    """A signal ended a run early; it can be resumed.

    Attributes:
        exit_code: Exit code of a process that a signal ended: 128 plus the signal's number.
    """

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class HubError(VAEError):
    """A Hugging Face Hub cannot be reached, or refuses what was asked."""
