"""Messages of a command's failures; pydantic's own text about a setting never reaches a user."""

from pydantic import ValidationError

from app.api.setting_faults import explain_failure
from app.cli.flags import as_flags
from models.errors import VAEError
from vae_client.errors import CallError, Refused

FAILURES = (CallError, VAEError, OSError, ValidationError)
"""What a command may fail with; anything else is a fault of this project."""


def message_of(error: Exception) -> str:
    """The message of a failure: the fault, what is allowed, one fix."""
    return as_flags(str(error)) if isinstance(error, Refused) else explain_failure(error)
