"""Commands of the README and of the guide to scores work as printed: marked blocks run in order,
against a real server.

A block may use every file of the checkout by its relative name; what it writes lands in a scratch
folder. http://127.0.0.1:8000 becomes the address of the test's own server.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import (
    ROOT,
    SERVED_AT,
    Block,
    blocks_of,
    clean_environment,
    run_block,
    served,
)

pytestmark = pytest.mark.slow

PAGES = ("README.md", "docs/reading-the-scores.md")
BLOCKS = {page: blocks_of((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}


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
    return clean_environment(folder)


@pytest.fixture(scope="module")
def address(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """host:port of `vae serve` with the shipped bundles."""
    with served(cwd=ROOT, environment=environment, log=folder / "server.log") as address:
        yield address


def test_some_commands_of_each_page_are_tested() -> None:
    assert all(BLOCKS.values())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize(
    "block",
    [block for page in PAGES for block in BLOCKS[page]],
    ids=lambda block: block.commands.splitlines()[0],
)
def test_a_marked_block_succeeds_and_prints_what_it_says(
    block: Block, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    if SERVED_AT in block.commands:
        address = request.getfixturevalue("address")
        block = block._replace(commands=block.commands.replace(SERVED_AT, address))
    run_block(block, folder=folder, environment=environment, timeout_seconds=60)
