"""Commands of the README and of the guide to scores work as printed: marked blocks run in order,
against a real server.

A block may use every file of the checkout by its relative name; what it writes lands in a scratch
folder. http://127.0.0.1:8000 becomes the address of the test's own server.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.app.server_process import free_port
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

FEW = "--images 20 --elbo-samples 2 --iwae-samples 2"
SHORTENED = {
    ".venv/bin/pip install": "true",  # all of it is installed
    "train photos": "train photos --set training.epochs=1 --no-tensorboard --device cpu",
    "export runs/photos": "export runs/photos --elbo-samples 2 --iwae-samples 2 --subset 0",
    "--alpha 0.01": "--alpha 0.1",  # 25 test pictures have no smaller p-values
    "train digits": "train digits --set training.epochs=1 --device cpu",
    "evaluate runs/digits": f"evaluate runs/digits {FEW} --subset 0 --device cpu",
    "--ais --bdmc": "--ais --bdmc --ais-images 2 --bdmc-images 2 --ais-steps 3",
    "compare runs/digits": f"compare {FEW} runs/digits",
    "VAE_WORKERS=4": "VAE_WORKERS=2 VAE_LOAD_MODELS=digits",
    "serve --host 0.0.0.0": "serve --port {port} & trap 'kill $!; wait' EXIT; "
    "until curl http://127.0.0.1:{port}/readyz; do sleep 0.2; done",
    "127.0.0.1:8000": "127.0.0.1:{port}",
    ".venv/bin/vae hash-key": "echo open-sesame | .venv/bin/vae hash-key",
}
"""Words of commands that take minutes, or go on, and those that take seconds."""
PAGES = ("README.md", "docs/reading-the-scores.md")
BLOCKS = {page: blocks_of((ROOT / page).read_text(encoding="utf-8")) for page in PAGES}


LONG = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"), mark="test shortened")


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


def test_every_shortened_word_is_in_the_readme() -> None:
    commands = "".join(block.commands for block in LONG)
    assert [words for words in SHORTENED if words not in commands] == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("block", LONG, ids=lambda block: block.commands.splitlines()[0])
def test_a_long_block_succeeds_in_short(
    block: Block, folder: Path, environment: dict[str, str]
) -> None:
    for place, count in (("photos", 200), ("new-photos", 5)):
        if not (folder / place).exists():
            draw_digits(folder / place, count)
    commands, port = block.commands, str(free_port())
    for words, short in SHORTENED.items():
        commands = commands.replace(words, short.replace("{port}", port))
    run_block(
        block._replace(commands=commands),
        folder=folder,
        environment=environment,
        timeout_seconds=600,
    )


def draw_digits(folder: Path, count: int) -> None:
    """Pictures of digits, 8 x 8."""
    folder.mkdir()
    for index, digit in enumerate(load_digits().images[:count]):
        Image.fromarray((digit * 15).astype(np.uint8)).save(folder / f"{index:03}.png")
