"""Memory that a process may use, the machine's and its control groups'; and what it keeps."""

import ctypes
import os
import subprocess
import sys
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


CHURN = """
import ctypes, resource, sys
from models.memory import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size = 18 * 2**20

def results():
    blocks = [ctypes.c_void_p(libc.malloc(ctypes.c_size_t(size))) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        libc.free(block)

for _ in range(3):
    results()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    results()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Three results are together more than twice the largest: then glibc gives them back."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_kept_for_the_next_results() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    faults = {}
    for what in ("keep", "give back"):
        command = [sys.executable, "-c", CHURN, what]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        kept, count = done.stdout.split()
        assert (kept == "True") == (what == "keep")
        faults[what] = int(count)
    assert faults["keep"] < faults["give back"] / 10


def test_variables_of_malloc_decide_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert not memory.keep_freed_memory()


def test_another_c_library_gives_back_what_it_likes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
