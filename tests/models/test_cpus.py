"""CPUs that a process may use: its affinity and the quotas of its control groups."""

import os
from pathlib import Path

import pytest

from models import cpus


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.cfs_quota_us": "400000\n", "cpu.cfs_period_us": "100000\n"}, 4.0),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "0 0"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_a_quota_is_read_from_both_versions_of_control_groups(
    files: dict[str, str], allowed: float | None
) -> None:
    assert cpus.quota(files) == allowed


@pytest.mark.parametrize(
    ("membership", "found"),
    [
        ("0::/a/b\n", [".", "cpu", "a/b", "a"]),
        ("0::/\n", [".", "cpu"]),
        ("4:cpu,cpuacct:/docker/1\n3:memory:/x\n", [".", "cpu", "cpu/docker/1", "cpu/docker"]),
        ("", [".", "cpu"]),
        ("nonsense", [".", "cpu"]),
    ],
)
def test_every_group_above_a_process_limits_it(membership: str, found: list[str]) -> None:
    assert [str(group) for group in cpus.groups(membership)] == found


def test_affinity_and_the_lowest_quota_limit_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(cpus, "MEMBERSHIP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert cpus.usable_cpus() == 12
    (tmp_path / "cpu.max").write_text("250000 100000")
    assert cpus.usable_cpus() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.usable_cpus() == 1
