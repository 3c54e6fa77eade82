"""Messages of a command's failures; pydantic's own text about a setting never reaches a user."""

import os
from collections.abc import Mapping
from tomllib import TOMLDecodeError
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.api.faults import explain
from app.cli.flags import as_flags
from app.settings import SETTINGS_FILE_VARIABLE, Settings
from models.errors import VAEError, closest
from models.files import explain_os_error
from vae_client.errors import CallError, Refused

FAILURES = (
    CallError,
    VAEError,
    OSError,
    ValidationError,
    SettingsError,
    TOMLDecodeError,
)
"""What a command may fail with; anything else is a fault of this project."""


def message_of(error: Exception) -> str:
    """The message of a failure: the fault, what is allowed, one fix."""
    if isinstance(error, ValidationError):
        return " ".join(_setting_fault(dict(fault)) for fault in error.errors(include_url=False))
    if isinstance(error, TOMLDecodeError):
        file = os.environ.get(SETTINGS_FILE_VARIABLE)
        return f"{file} ({SETTINGS_FILE_VARIABLE}) is not TOML: {error}."
    if isinstance(error, SettingsError):
        return _not_json(error)
    if isinstance(error, OSError) and error.errno is not None:
        return explain_os_error(error)
    return as_flags(str(error)) if isinstance(error, Refused) else str(error)


def _setting_fault(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][0])
    declared = Settings.model_json_schema()["properties"]
    if name not in declared:
        meant = closest(name, declared)
        hint = f"Did you mean {meant!r}?" if meant else "docs/api.md lists the settings."
        return f"There is no setting {name!r}. {hint}"
    variable = f"VAE_{name.upper()}"
    if name == "api_keys_sha256":  # a key by mistake must not reach the log
        return f"{variable} holds a value that is not a sha256 in hex. Hash the key: vae hash-key."
    explained = explain(variable, fault["input"], declared[name])
    return f"{explained.message} {explained.fix}"


def _not_json(error: SettingsError) -> str:
    """A list in the environment that is not JSON."""
    names = [name for name in Settings.model_fields if f'"{name}"' in str(error)]
    variable = f"VAE_{names[0].upper()}" if names else "A VAE_* variable"
    value = os.environ.get(variable, "")
    return f"{variable} is not a JSON list. Write it as {variable}='[\"{value[:200]}\"]'."
