"""What is wrong with a setting, in words; pydantic's own never reach the operator."""

import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from app.api.faults import explain
from app.settings import Settings, settings_file
from models.errors import closest
from models.files import explain_os_error

SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


def explain_failure(error: Exception) -> str:
    """Why a service or a command cannot start, with every setting at fault."""
    if isinstance(error, OSError) and error.errno is not None:
        return explain_os_error(error)
    if not isinstance(error, ValidationError):
        return str(error)
    found = dict.fromkeys(_explain(dict(fault)) for fault in error.errors(include_url=False))
    return " ".join(found)


def _explain(fault: Mapping[str, Any]) -> str:
    name, received = str(fault["loc"][0]), fault["input"]
    declared = Settings.model_json_schema()["properties"]
    if name not in declared:
        meant = closest(name.casefold().removeprefix("vae_"), declared)
        hint = f"Did you mean {meant!r}?" if meant else "docs/deployment.md lists the settings."
        return f"There is no setting {name!r}. {hint}"
    variable = f"VAE_{name.upper()}"
    if name in ("api_keys_sha256", "admin_keys_sha256"):  # a key by mistake must not reach the log
        return f"{variable} holds a value that is not a sha256 in hex. Hash the key: vae hash-key."
    if name == "port" and SERVICE_ADDRESS.fullmatch(str(received)):
        return (
            f"{variable}={received} is not a port: Kubernetes sets it in a pod beside a service "
            "named 'vae'. Put enableServiceLinks: false into the pod's spec, or set "
            f"{variable}=8000 there."
        )
    if declared[name].get("type") == "array":
        return (
            f"{variable} is not a list of words. Separate them by commas: {variable}=http://a,"
            "http://b."
        )
    explained = explain(variable, received, declared[name])
    from_file = (
        f"{settings_file()}: "
        if settings_file() and not os.environ.get(variable, "").strip()
        else ""
    )
    return f"{from_file}{explained.message} {explained.fix}"
