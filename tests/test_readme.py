"""The README's commands work as printed: marked blocks run in order, against a real server.

The marks are described in CONTRIBUTING.md. A block may use every file of the checkout by its
relative name; what it writes lands in a scratch folder. http://127.0.0.1:8000 becomes the address
of the test's own server.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVED_AT = "127.0.0.1:8000"
MARKED = re.compile(
    r"^<!-- test -->\n```bash\n(?P<commands>.*?)^```$(?:\s*^```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A marked block, and the lines that its output must hold ("..." stands for anything)."""

    commands: str
    printed: list[str]


BLOCKS = [
    Block(found["commands"], (found["printed"] or "").splitlines())
    for found in MARKED.finditer(README)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch folder that looks like the checkout: one link for each of its visible entries."""
    folder = tmp_path_factory.mktemp("checkout")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name != "runs":
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """No VAE_* settings, this interpreter's commands first, a curl that fails on error statuses."""
    (folder / ".curlrc").write_text('fail\nshow-error\nsilent\nnoproxy = "*"\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "CURL_HOME": str(folder)}


@pytest.fixture(scope="module")
def address(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """host:port of `vae serve` with the shipped bundles, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", port],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(f"http://{address}/readyz", server, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the probe answers 200; fail with the server's own words otherwise."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with direct.open(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"`vae serve` did not become ready:\n{log.read_text()}")


def test_some_commands_of_the_readme_are_tested() -> None:
    assert BLOCKS


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.commands.splitlines()[0])
def test_a_marked_block_succeeds_and_prints_what_it_says(
    block: Block, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    commands = block.commands
    if SERVED_AT in commands:
        commands = commands.replace(SERVED_AT, request.getfixturevalue("address"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for line in filter(None, block.printed):
        pattern = re.escape(line.strip()).replace(re.escape("..."), ".*")
        assert re.search(pattern, done.stdout), f"no line {line!r} in:\n{done.stdout}"
