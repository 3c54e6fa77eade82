"""Stamps of files: equal while a file is the same, and none for one that changed a moment ago."""

import os
import time
from pathlib import Path

import pytest

from tests.training.data.pictures import settle
from training.data import file_stamp
from training.data.file_stamp import NO_STAMP, stamp_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.png"
    found.write_bytes(b"12345678")
    wait_for_a_stamp(found)
    return found


def wait_for_a_stamp(path: Path) -> bytes:
    settle(path)
    return stamp_file(path)[0]


def test_a_stamp_stays_while_the_file_does(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, status = stamp_file(path)
    assert len(stamp) == file_stamp.LENGTH
    assert status.st_size == 8
    assert stamp_file(path)[0] == stamp
    monkeypatch.chdir(path.parent)
    assert stamp_file(Path("a.png"))[0] == stamp


def test_other_content_of_the_same_size_and_time_has_another_stamp(path: Path) -> None:
    before, status = stamp_file(path)
    path.write_bytes(b"87654321")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert wait_for_a_stamp(path) != before


def test_the_same_file_under_another_name_has_another_stamp(path: Path) -> None:
    os.link(path, path.with_name("b.png"))
    assert wait_for_a_stamp(path.with_name("b.png")) != wait_for_a_stamp(path)


def test_a_link_has_the_stamp_of_what_it_leads_to_now(path: Path) -> None:
    link, other = path.with_name("link.png"), path.with_name("b.png")
    other.write_bytes(b"abcdefgh")
    link.symlink_to(path)
    before = wait_for_a_stamp(link)
    link.unlink()
    link.symlink_to(other)
    assert wait_for_a_stamp(link) != before


def test_a_file_that_changed_a_moment_ago_has_none(path: Path) -> None:
    ahead = time.time_ns() + 3_600_000_000_123
    os.utime(path, ns=(ahead, ahead))
    assert stamp_file(path)[0] == NO_STAMP


def test_whole_seconds_of_a_coarse_clock_count_for_two(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (path.stat().st_ctime_ns // 10**9 + 2) * 10**9
    os.utime(path, ns=(whole, whole))
    monkeypatch.setattr(time, "time_ns", lambda: whole + 1_900_000_000)
    assert stamp_file(path)[0] == NO_STAMP
    monkeypatch.setattr(time, "time_ns", lambda: whole + 2_100_000_000)
    assert stamp_file(path)[0] != NO_STAMP
