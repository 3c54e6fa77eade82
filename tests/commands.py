"""Run commands of the documents as they are printed; CONTRIBUTING.md describes the marks."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVED_AT = "127.0.0.1:8000"
_MARKED = re.compile(
    r"^<!-- (?P<mark>[\w ]+) -->\n```(?P<language>\w+)\n(?P<commands>.*?)^```$"
    r"(?:\s*^```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """Marked block, and the lines that its output must contain ("..." stands for any text)."""

    commands: str
    printed: list[str]


def blocks_of(document: str, language: str = "bash", *, mark: str = "test") -> list[Block]:
    """The blocks of a document in one language that have a mark, in order."""
    return [
        Block(found["commands"], (found["printed"] or "").splitlines())
        for found in _MARKED.finditer(document)
        if (found["language"], found["mark"]) == (language, mark)
    ]


def clean_environment(folder: Path) -> dict[str, str]:
    """Environment without VAE_* settings, with this interpreter's commands and a failing curl.

    curl exits with an error when the answer has an error status.
    """
    (folder / ".curlrc").write_text('fail\nshow-error\nsilent\nnoproxy = "*"\n')
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PATH": path, "CURL_HOME": str(folder)}


def run_block(
    block: Block, *, folder: Path, environment: dict[str, str], timeout_seconds: float
) -> None:
    """Run a block's commands in a folder; fail unless they succeed and print the block's lines."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    check_printed(block, done.stdout)


def check_printed(block: Block, output: str) -> None:
    """Fail unless an output has the block's lines."""
    for line in filter(None, block.printed):
        pattern = re.escape(line.strip()).replace(re.escape("..."), ".*")
        assert re.search(pattern, output), f"no line {line!r} in:\n{output}"


@contextmanager
def served(*flags: str, cwd: Path, environment: dict[str, str], log: Path) -> Iterator[str]:
    """Start `vae serve` with these flags; yield its host:port once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", address.rpartition(":")[2], *flags],
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_ready(f"http://{address}/readyz", server, log)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the probe answers 200; fail with the server's log otherwise."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 180
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
