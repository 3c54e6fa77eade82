"""Threads of a worker: its share of the CPUs that the process may use."""

import os
from pathlib import Path

import pytest
import torch

from app.serving.cpus import default_threads
from models import cpus


def test_threads_are_a_workers_share_of_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(cpus, "MEMBERSHIP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert [default_threads(workers) for workers in (1, 2, 4, 30)] == [8, 6, 3, 1]
    (tmp_path / "cpu.max").write_text("250000 100000")
    assert [default_threads(workers) for workers in (1, 2, 4)] == [3, 1, 1]
