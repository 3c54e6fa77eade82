"""The command `vae serve`: every setting is a flag."""

import inspect
from typing import Any

from app.cli.options import option
from app.settings import Settings, load_settings


def serve(**flags: Any) -> None:
    """Serve the models of a repository over HTTP, at http://127.0.0.1:8000 by default.

    Examples:

        vae serve

        vae serve --model-repository /models --port 9000
    """
    from app.cli import server  # these import torch; help needs none
    from app.main import check_settings

    server.export_flags(flags)
    settings = load_settings()
    check_settings(settings)
    server.serve(settings)


_flags = [option(name, field) for name, field in Settings.model_fields.items()]
serve.__signature__ = inspect.Signature(_flags)  # type: ignore[attr-defined]
serve.__annotations__ = {flag.name: flag.annotation for flag in _flags}
