"""Code of docs/python-client.md works as printed: its marked blocks share their names, in order.

http://127.0.0.1:8000 becomes the address of a server with the shipped models.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import (
    ROOT,
    SERVED_AT,
    Block,
    blocks_of,
    check_printed,
    clean_environment,
    served,
)

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(DOCUMENT, "python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """host:port of `vae serve` with the shipped bundles."""
    environment, log = clean_environment(folder), folder / "server.log"
    with served(cwd=ROOT, environment=environment, log=log) as address:
        yield address


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """What the blocks define; clients among it are closed."""
    names: dict[str, Any] = {}
    yield names
    for name in ("client", "labelled", "in_parts"):
        names[name].close()


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.commands.splitlines()[0])
def test_a_marked_block_prints_what_it_says(
    block: Block,
    folder: Path,
    address: str,
    names: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    exec(block.commands.replace(SERVED_AT, address), names)
    check_printed(block, capsys.readouterr().out)
