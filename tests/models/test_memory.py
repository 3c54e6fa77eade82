"""Memory that a process may use: the machine's, and the limits of its control groups."""

import os
from pathlib import Path

import pytest

from models import cpus, memory


@pytest.mark.parametrize(
    ("membership", "file", "text"),
    [
        ("0::/a/b\n", "a/memory.max", "4096\n"),
        ("4:memory:/docker/1\n", "memory/docker/1/memory.limit_in_bytes", "4096\n"),
        ("4:cpu,memory:/docker/1\n", "memory/memory.limit_in_bytes", "4096\n"),
    ],
)
def test_the_lowest_limit_of_any_group_above_a_process_counts(
    membership: str, file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(cpus, "MEMBERSHIP", tmp_path / "membership")
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.usable_memory() == physical
    (tmp_path / "membership").write_text(membership)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("max\n")
    assert memory.usable_memory() == physical
    (tmp_path / file).write_text(text)
    assert memory.usable_memory() == 4096
