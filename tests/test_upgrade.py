"""The deployment page's upgrade of a model works as printed, under both kinds of control."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.app.changing_repository import put
from tests.commands import ROOT, SERVED_AT, blocks_of, clean_environment, run_block, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl"),
]

DOCUMENT = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
_SECTION = re.compile(r"## Upgrade a model.*?(?=^## )", re.MULTILINE | re.DOTALL)


def section(name: str) -> str:
    """The text under a heading of the upgrade."""
    found = _SECTION.search(DOCUMENT)
    assert found is not None
    return found[0].partition(f"### {name}\n")[2].partition("\n### ")[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with version 1 in the repository, and version 2 elsewhere."""
    for repository, version in (("bundles", 1), ("new", 2)):
        (tmp_path / repository).mkdir()
        put(tmp_path / repository, "mnist", version, seed=version)
    return tmp_path


@contextmanager
def started(text: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """host:port of the server that a text starts."""
    flags = re.search(r"^vae serve (?P<flags>.+)$", text, re.MULTILINE)
    assert flags is not None
    log = folder / "server.log"
    more = ("--model-poll-seconds", "0.2")
    with served(
        *flags["flags"].split(), *more, cwd=folder, environment=environment, log=log
    ) as address:
        yield address


def run_blocks(text: str, address: str, folder: Path, environment: dict[str, str]) -> int:
    """Run the marked blocks of a text; how many there are."""
    blocks = blocks_of(text)
    for block in blocks:
        there = block._replace(commands=block.commands.replace(SERVED_AT, address))
        run_block(there, folder=folder, environment=environment, timeout_seconds=60)
    return len(blocks)


def test_a_model_is_upgraded_and_put_back_by_the_repository(folder: Path) -> None:
    text, environment = section("By the repository"), clean_environment(folder)
    with started(text, folder, environment) as address:
        assert run_blocks(text, address, folder, environment) == 2


def test_a_model_is_upgraded_by_requests(folder: Path) -> None:
    text, environment = section("By requests"), clean_environment(folder)
    (folder / "new" / "mnist" / "2").rename(folder / "bundles" / "mnist" / ".2")
    commands = text.partition("```bash\n")[2].partition("vae serve")[0]
    hashed = subprocess.run(
        ["bash", "-euc", f"{commands}\nprintenv VAE_ADMIN_KEYS_SHA256"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    environment["VAE_ADMIN_KEYS_SHA256"] = hashed.stdout.strip()
    with started(text, folder, environment) as address:
        assert run_blocks(text, address, folder, environment) == 1
        versions = f'curl http://{address}/v1/models/mnist | grep \'"version":2,"versions":.2.\''
        subprocess.run(["bash", "-c", versions], env=environment, timeout=60, check=True)
