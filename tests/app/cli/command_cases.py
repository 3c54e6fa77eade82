"""Commands in this process: running them, their tables and their failures."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from app.cli.commands import main
from tests.app.pictures import binary, encoded

Vae = Callable[..., Result]


ROOT = Path(__file__).resolve().parents[3]


def done(result: Result) -> Result:
    """A command that must have worked."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def write_pictures(folder: Path, n: int = 3) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(n)]
    for path, picture in zip(paths, binary(n), strict=True):
        path.write_bytes(encoded(picture))
    return paths


def failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str]:
    """Exit code and message of a command as the shell sees it."""
    monkeypatch.setattr("sys.argv", ["vae", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0), " ".join(capsys.readouterr().err.split())
