"""The cache's folder: whole entries or none, a bounded size, and what killed writers leave."""

import errno
import fcntl
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from rich.console import Console

from models.errors import ConfigError
from training.data import disk_cache
from training.data.array_file import ArrayFile, Form
from training.data.disk_cache import DiskCache, open_cache

FORM = Form(np.dtype(np.uint8), (1_000,))


def put(cache: DiskCache, name: str, value: int = 1, *, together: int = 0) -> ArrayFile | None:
    """Write an entry of 1,000 bytes and a header."""
    parts = [np.full(1_000, value, np.uint8)]
    return cache.write(name, {"x": FORM}, parts, about={"of": name}, together=together)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def said(cache: DiskCache) -> str:
    assert cache.console is not None
    assert isinstance(cache.console.file, io.StringIO)
    return cache.console.file.getvalue()


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 10_000, Console(file=io.StringIO()))


def test_an_entry_is_found_as_it_was_written(cache: DiskCache) -> None:
    assert cache.find("a") is None
    written, found = put(cache, "a"), cache.find("a")
    for entry in (written, found):
        assert entry is not None
        assert entry.about == {"of": "a"}
        assert entry.arrays["x"].tolist() == [1] * 1_000
        assert isinstance(entry.arrays["x"], np.memmap)
    assert names(cache.folder) == ["a.vae-cache"]
    assert said(cache) == ""


def test_a_replaced_or_deleted_entry_stays_with_those_who_have_it(cache: DiskCache) -> None:
    first = put(cache, "a", 1)
    second = put(cache, "a", 2)
    cache.clear()
    assert first is not None
    assert second is not None
    assert (first.arrays["x"] == 1).all()
    assert (second.arrays["x"] == 2).all()
    assert cache.find("a") is None


def test_an_entry_that_is_cut_short_is_absent_and_is_written_anew(cache: DiskCache) -> None:
    put(cache, "a")
    path = cache.folder / "a.vae-cache"
    os.truncate(path, path.stat().st_size - 1)
    assert cache.find("a") is None
    assert cache.entries()[0].about() == {}
    put(cache, "a")
    assert cache.find("a") is not None


def test_the_entries_used_longest_ago_make_room(cache: DiskCache) -> None:
    for age, name in enumerate("abcdefgh"):
        put(cache, name)
        os.utime(cache.folder / f"{name}.vae-cache", (1_000 + age, 1_000 + age))
    assert cache.find("a") is not None  # used now
    size = cache.entries()[0].num_bytes
    cache.limit = 8 * size
    put(cache, "i")
    assert [entry.path.stem for entry in cache.entries()] == list("cdefghai")
    cache.limit = 2 * size
    put(cache, "i", 7)  # in its own place
    assert [entry.path.stem for entry in cache.entries()] == list("ai")


def test_files_of_others_are_never_deleted(cache: DiskCache) -> None:
    put(cache, "a")
    (cache.folder / "model.safetensors").write_bytes(bytes(20_000))
    put(cache, "b")
    cache.clear()
    assert names(cache.folder) == ["model.safetensors"]


def test_an_entry_beyond_the_limit_is_not_written(cache: DiskCache) -> None:
    cache.limit = 1_000
    assert put(cache, "a") is None
    assert not cache.folder.exists()
    assert "The cache may have 1e-06 GB, and this data set needs" in said(cache)
    assert "it holds some splits in memory" in said(cache)
    assert "export VAE_CACHE_GB=1\n" in said(cache)
    assert put(cache, "b") is None
    assert said(cache).count("Warning") == 1


def test_a_set_beyond_the_limit_is_said_although_each_split_is_kept(cache: DiskCache) -> None:
    kept = put(cache, "a", together=3 * cache.limit)
    assert kept is not None
    assert "splits displace each other" in said(cache)
    gigabytes = int(said(cache).rsplit("VAE_CACHE_GB=")[-1])
    assert 3 * cache.limit <= gigabytes * 10**9


def test_a_limit_of_nothing_reads_and_writes_nothing_and_says_nothing(cache: DiskCache) -> None:
    put(cache, "a")
    cache.limit = 0
    assert cache.find("a") is None
    assert put(cache, "b") is None
    assert said(cache) == ""


def test_a_folder_that_cannot_be_made_is_said_once(cache: DiskCache, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache.folder = tmp_path / "file" / "cache"
    assert put(cache, "a") is None
    assert put(cache, "b") is None
    assert cache.find("a") is None
    assert said(cache).count("Warning:") == 1
    assert "Not a directory. Each command decodes them again." in said(cache).replace("\n", " ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
def test_a_folder_that_may_only_be_read_is_read(cache: DiskCache) -> None:  # pragma: no cover
    put(cache, "a")
    cache.folder.chmod(0o500)
    assert cache.find("a") is not None
    assert put(cache, "b") is None
    assert "Permission denied" in said(cache)
    cache.folder.chmod(0o700)


@pytest.mark.usefixtures("no_large_files")
def test_a_full_disk_is_found_out_before_anything_is_computed(cache: DiskCache) -> None:
    asked = []

    def parts() -> Iterator[bytes]:
        asked.append(True)
        yield bytes(1_000)

    assert cache.write("a", {"x": FORM}, parts(), about={}) is None
    assert asked == []
    assert names(cache.folder) == []
    assert "File too large" in said(cache)


@pytest.mark.usefixtures("no_large_files")
def test_a_disk_that_becomes_full_leaves_no_half_entry(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert put(cache, "a") is None
    assert names(cache.folder) == []
    assert "File too large" in said(cache)


@pytest.mark.parametrize(("number", "is_kept"), [(errno.EOPNOTSUPP, True), (errno.ENOSPC, False)])
def test_a_file_system_that_cannot_reserve_space_is_written_all_the_same(
    number: int, is_kept: bool, cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert (put(cache, "a") is not None) is is_kept
    assert (said(cache) == "") is is_kept


def test_a_fault_of_the_data_leaves_nothing_behind(cache: DiskCache) -> None:
    def parts() -> Iterator[bytes]:
        yield bytes(10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.write("a", {"x": FORM}, parts(), about={})
    assert names(cache.folder) == []


def test_partial_files_of_the_dead_are_deleted_and_those_of_the_living_are_not(
    cache: DiskCache,
) -> None:
    cache.folder.mkdir()
    dead, living = (cache.folder / f"{name}.0.vae-cache-partial" for name in ("dead", "living"))
    dead.write_bytes(bytes(10))
    with living.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        put(cache, "a")
        assert names(cache.folder) == ["a.vae-cache", living.name]
    cache.clear()
    assert names(cache.folder) == []


def test_without_locks_only_old_partial_files_are_deleted(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    cache.folder.mkdir()
    old, new = (cache.folder / f"{name}.0.vae-cache-partial" for name in ("old", "new"))
    old.touch()
    new.touch()
    os.utime(old, (1_000, 1_000))
    put(cache, "a")
    assert names(cache.folder) == ["a.vae-cache", new.name]


def test_a_partial_file_that_was_taken_for_a_stale_one_is_made_again(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, []

    def delete_before_the_first_lock(file: io.BufferedWriter, how: int) -> None:
        if not taken:
            taken.append(file.name)
            os.unlink(file.name)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", delete_before_the_first_lock)
    assert put(cache, "a") is not None
    assert len(taken) == 1
    assert names(cache.folder) == ["a.vae-cache"]


def test_an_entry_that_vanishes_while_it_is_listed_is_not_listed(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cache, "a")
    listed = cache._files(".vae-cache")
    monkeypatch.setattr(cache, "_files", lambda _: [*listed, cache.folder / "gone.vae-cache"])
    assert [entry.path.stem for entry in cache.entries()] == ["a"]


def test_the_environment_says_where_the_cache_is_and_how_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAE_CACHE_DIR")
    assert open_cache().folder == platformdirs.user_cache_path("vae-lab")
    assert open_cache().limit == 10**10
    monkeypatch.setenv("VAE_CACHE_DIR", "~/mine")
    monkeypatch.setenv("VAE_CACHE_GB", "0.5")
    assert open_cache().folder == Path.home() / "mine"
    assert open_cache().limit == 5 * 10**8


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "ten"])
def test_a_limit_that_is_no_size_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_CACHE_GB", given)
    with pytest.raises(ConfigError, match=rf"VAE_CACHE_GB={given} is no .* Set VAE_CACHE_GB=10\."):
        open_cache()


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAE_CACHE_DIR")
    monkeypatch.setattr(disk_cache.platformdirs, "user_cache_path", lambda _: Path("~x/.cache"))
    shown = io.StringIO()
    cache = open_cache(Console(file=shown))
    assert put(cache, "a") is None
    assert "no home folder" in shown.getvalue().replace("\n", " ")
    assert not Path("~x").exists()
