"""Commands as a shell sees them: pipes, full disks, names of any bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.cli.command_cases import ROOT, rows, write_pictures

pytestmark = pytest.mark.slow


def shell(repository: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own; `vae` is this interpreter's."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'vae() {{ {sys.executable} -m app "$@"; }}; {command}'],
        env={**os.environ, "VAE_MODEL_REPOSITORY": str(repository), **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
        check=False,
    )


def test_a_closed_pipe_is_silent(repository: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "in")[0].parent
    for command in (f"vae encode {folder} -m mnist --no-check", "vae models"):
        done = shell(repository, f"cd {ROOT}; {command} | true")
        assert done.stderr.strip() == ""


def test_a_full_disk_behind_standard_output_is_one_sentence(repository: Path) -> None:
    done = shell(repository, f"cd {ROOT}; vae models > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: A write failed: No space left on device; no file is")


def test_names_of_any_bytes_are_printed_on_an_ascii_terminal(
    repository: Path, tmp_path: Path
) -> None:
    picture, folder = write_pictures(tmp_path / "one", 1)[0], tmp_path / "in"
    folder.mkdir()
    for name in (b"bad\xff.png", "é.png".encode(), b"a\nb.png", b"\x1b[31m.png"):
        (folder / os.fsdecode(name)).write_bytes(picture.read_bytes())
    (folder / os.fsdecode(b"broken\xff\n.png")).write_bytes(b"words")
    ascii_ = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = shell(
        repository,
        f"cd {ROOT}; vae encode {folder} -m mnist",
        PYTHONIOENCODING="ascii",
        **ascii_,
    )
    names = [Path(row["file"]).name for row in rows(done.stdout)]
    assert names == [r"\x1b[31m.png", r"a\nb.png", r"bad\udcff.png", r"\xe9.png"]
    assert r"broken\udcff\n.png: The file is text that begins with" in done.stderr
    assert "Traceback" not in done.stderr
