"""The cache of a folder where it is damaged, cannot be written, or is written by two at once."""

import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.training.data.pictures import SMALL
from tests.training.data.readings import assert_equal, facts, pixels
from training.data.datasets import Dataset, load


@pytest.mark.parametrize("kept", ["files", "levels"])
def test_a_truncated_cache_is_read_as_none(
    kept: str, photos: Path, cache_dir: Path, opened: list[str]
) -> None:
    whole = pixels(load(str(photos)), SMALL)
    for path in cache_dir.glob(f"{kept}-*"):
        half = path.read_bytes()[: path.stat().st_size // 2]
        path.unlink()  # `whole` still has it mapped
        path.write_bytes(half)
    opened.clear()
    assert_equal(pixels(load(str(photos)), SMALL), whole)
    assert opened != []
    opened.clear()
    assert_equal(pixels(load(str(photos)), SMALL), whole)
    assert opened == []


def test_a_cache_that_cannot_be_written_is_said_once_and_changes_nothing(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    cache_dir.parent.parent.joinpath("kept").write_text("a file")
    console = Console(file=io.StringIO())
    dataset = load(str(photos), console=console)
    found = pixels(dataset, SMALL)
    without = uncached(photos)
    assert facts(dataset) == facts(without)
    assert_equal(found, pixels(without, SMALL))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("cannot keep the pictures") == 1


def test_a_cache_that_goes_away_after_loading_changes_nothing(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    dataset = load(str(photos))
    cache_dir.rename(cache_dir.with_name("gone"))
    cache_dir.touch()
    assert_equal(pixels(dataset, SMALL), pixels(uncached(photos), SMALL))


@pytest.mark.usefixtures("cache_dir")
def test_a_disk_that_becomes_full_while_levels_are_written_changes_nothing(
    photos: Path,
    uncached: Callable[[Path], Dataset],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(file=io.StringIO())
    dataset, without = load(str(photos), console=console), uncached(photos)
    monkeypatch.delattr(os, "posix_fallocate")
    request.getfixturevalue("no_large_files")
    assert_equal(pixels(dataset, SMALL), pixels(without, SMALL))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("File too large") == 1


READ = """
import hashlib, sys, time
from models.images import ImageSpec
from training.data import file_split
from training.data.datasets import load

dataset = load(sys.argv[1])
if len(sys.argv) > 2:  # pictures that are never read to their end
    file_split.read_row = lambda *_: time.sleep(1000)
levels = dataset.train.read_levels(ImageSpec(channels=3, height=6, width=6))
print(dataset.sha256, hashlib.sha256(levels.tobytes()).hexdigest())
"""


def start(*arguments: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READ, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_nothing_that_is_read(
    photos: Path, cache_dir: Path, uncached: Callable[[Path], Dataset]
) -> None:
    with start(photos, "slowly") as writer:
        while not (partial := list(cache_dir.glob("levels-*partial"))):
            assert writer.poll() is None
            time.sleep(0.01)
        time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert partial[0].exists()
    assert not list(cache_dir.glob("levels-*vae-cache"))
    dataset = load(str(photos))
    assert_equal(pixels(dataset, SMALL), pixels(uncached(photos), SMALL))
    assert not list(cache_dir.glob("*partial"))
    assert list(cache_dir.glob("levels-*vae-cache"))


@pytest.mark.slow
def test_two_processes_at_once_read_the_same_and_leave_one_cache(
    photos: Path, cache_dir: Path, opened: list[str]
) -> None:
    with start(photos) as first, start(photos) as second:
        said = {process.communicate()[0] for process in (first, second)}
        assert first.returncode == second.returncode == 0
    kept = sorted(re.sub("-[0-9a-f]{32}", "", path.name) for path in cache_dir.iterdir())
    assert kept == ["files.vae-cache", "levels-train.vae-cache"]
    opened.clear()
    dataset = load(str(photos))
    levels = dataset.train.read_levels(SMALL)
    assert opened == []
    assert said == {f"{dataset.sha256} {hashlib.sha256(levels.tobytes()).hexdigest()}\n"}
