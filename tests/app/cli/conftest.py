"""A command in a folder of its own, against the tests' repository."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.commands import make_app
from models.command_line import asked_command
from tests.app.cli.command_cases import Vae


@pytest.fixture
def vae(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vae:
    """Runs a command in a folder of its own, against the tests' repository."""
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(repository))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | None = None) -> Result:
        app = make_app(asked_command(arguments))
        return CliRunner().invoke(app, list(arguments), input=stdin)

    return run
