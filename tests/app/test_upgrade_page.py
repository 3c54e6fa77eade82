"""The commands of docs/deployment.md that upgrade a model without a restart do so."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.changing_repository import put
from tests.app.server_process import ROOT, free_port

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Upgrade a model without a restart\n")[2].partition("\n## ")[0]
SERVE_POLLING, COPY, SERVE_EXPLICIT, LOAD = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)


def variables(port: int) -> dict[str, str]:
    """The environment of the page's commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    fast = {"VAE_MODEL_POLL_SECONDS": "0.1", "VAE_PORT": str(port)}
    return {**os.environ, **fast, "PATH": path, "PYTHONPATH": str(ROOT), "ADMIN_KEY": "root"}


def run(block: str, folder: Path, port: int) -> str:
    """Run a block of the page; what it prints."""
    script = "set -e\n" + block.replace("localhost:8000", f"127.0.0.1:{port}")
    script = script.replace("curl", "curl -sS --fail-with-body")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=variables(port),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@contextmanager
def serving(block: str, folder: Path) -> Iterator[httpx.Client]:
    """Run a block that serves, until the server is ready; its port is that of the client."""
    port = free_port()
    script = block.replace("vae serve", "exec vae serve")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=folder, env=variables(port), stderr=log
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until(client, "/readyz", 200)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=60)


def until(client: httpx.Client, path: str, status: int) -> None:
    """Ask until the answer has a status, at most a minute."""
    ends_at = time.monotonic() + 60
    while True:
        try:
            if client.get(path).status_code == status:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < ends_at
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with version 1 in `bundles` and version 2 in `exported`."""
    for version, place in enumerate(("bundles", "exported"), start=1):
        (tmp_path / place).mkdir()
        put(tmp_path / place, "mnist", version, seed=version)
    return tmp_path


def test_by_polling(folder: Path) -> None:
    with serving(SERVE_POLLING, folder) as client:
        assert client.get("/v1/models/mnist").json()["version"] == 1
        run(COPY, folder, int(client.base_url.port or 0))
        until(client, "/v1/models/mnist/versions/2", 200)
        (back,) = re.findall(r"`(rm -r .*?)`", SECTION)
        run(back, folder, 0)
        until(client, "/v1/models/mnist/versions/2", 404)


def test_by_requests(folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with serving(SERVE_EXPLICIT, folder) as client:
        run(COPY, folder, 0)
        run(LOAD, folder, int(client.base_url.port or 0))
        assert client.get("/v1/models/mnist").json()["versions"] == [2]
