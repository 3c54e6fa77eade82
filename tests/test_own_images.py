"""Commands of docs/own-images.md work as printed, with shorter training and scoring.

Its marked blocks run in order in one folder; http://127.0.0.1:8000 becomes the address of a server
that was started by the document's own command.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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

DOCUMENT = (ROOT / "docs" / "own-images.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(DOCUMENT)
SHORTENED = {
    "vae-lab train photos": "--set training.epochs=2 --no-tensorboard --device cpu",
    "vae-lab export runs/photos": "--elbo-samples 2 --iwae-samples 2 --subset 0 --device cpu",
}
"""Flags added to a command, so that it takes seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `photos`, other `good` ones, and `new` ones of which one is odd."""
    folder = tmp_path_factory.mktemp("own")
    for seed, (name, count) in enumerate({"photos": 300, "good": 240, "new": 20}.items()):
        draw_pictures(folder / name, count, seed=seed)
    whole = (folder / "photos" / "001.png").read_bytes()
    (folder / "photos" / "broken.png").write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "new" / "odd.png")
    return folder


def draw_pictures(photos: Path, count: int, *, seed: int) -> None:
    """Discs and boxes of all colours and many sizes on shaded grounds."""
    photos.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(count):
        height, width = rng.integers(40, 72, 2)
        top, bottom, colour = rng.integers(0, 256, (3, 3))
        down, right = np.ogrid[:height, :width]
        picture = top + (bottom - top) * down[..., None] // height
        offsets = abs(down - rng.integers(10, 40)), abs(right - rng.integers(10, 40))
        distance = np.hypot(*offsets) if index % 2 else np.maximum(*offsets)
        picture = np.where(distance[..., None] < rng.integers(8, 16), colour, picture)
        Image.fromarray(picture.astype(np.uint8)).save(photos / f"{index:03}.png")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    return clean_environment(folder) | {"COLUMNS": "100"}


@pytest.fixture(scope="module")
def address(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """host:port of the server that the document starts, in the same folder."""
    command = re.search(r"^vae serve (?P<flags>.+)$", DOCUMENT, re.MULTILINE)
    assert command is not None
    flags = command["flags"].split()
    log = folder / "server.log"
    with served(*flags, cwd=folder, environment=environment, log=log) as address:
        yield address


def test_every_shortened_command_is_in_the_document() -> None:
    commands = [block.commands for block in BLOCKS]
    assert all(any(part in block for block in commands) for part in SHORTENED)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.commands.splitlines()[0])
def test_a_marked_block_succeeds_and_prints_what_it_says(
    block: Block, folder: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    commands = block.commands
    for command, flags in SHORTENED.items():
        commands = commands.replace(command, f"{command} {flags}")
    if SERVED_AT in commands:
        commands = commands.replace(SERVED_AT, request.getfixturevalue("address"))
    run_block(
        block._replace(commands=commands),
        folder=folder,
        environment=environment,
        timeout_seconds=240,
    )
