"""Arrays in one file: what is mapped is what was written, and whatever is not whole is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from training.data.array_file import Form, expect_random_reads, make_header, open_arrays

ARRAYS = {
    "levels": np.arange(24, dtype=np.uint16).reshape(2, 3, 4),
    "stamp": np.arange(5, dtype=np.uint8),
    "none": np.empty((0, 2), np.uint32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    forms = {name: Form(array.dtype, array.shape) for name, array in ARRAYS.items()}
    found = tmp_path / "arrays"
    header = make_header(forms, {"folder": "/photos"})
    found.write_bytes(header + b"".join(array.tobytes() for array in ARRAYS.values()))
    return found


def test_arrays_come_back_as_they_were_written(path: Path) -> None:
    found = open_arrays(path)
    assert found.about == {"folder": "/photos"}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


def test_the_format_is_that_of_safetensors(path: Path) -> None:
    found = load_file(path)
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_writing_to_a_mapped_array_changes_no_file(path: Path) -> None:
    before = path.read_bytes()
    levels = open_arrays(path).arrays["levels"]
    levels[:] = 7
    assert (levels == 7).all()
    assert path.read_bytes() == before


def test_every_file_that_is_cut_short_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"arrays|file|bytes|line 1|delimiter"):
            open_arrays(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b'{"__metadata__": {}, "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"__metadata__": {}, "x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 4]}}',
        b'{"__metadata__": {}, "x": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}',
        b'{"__metadata__": {}, "x": 7}',
        b'{"__metadata__": {}}',
        b"\xff",
    ],
)
def test_another_file_is_refused(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match=r"arrays|outside|bytes|decode"):
        open_arrays(path)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="only Linux tells")
def test_the_system_is_told_of_random_reads(tmp_path: Path) -> None:
    path = tmp_path / "levels.bin"
    path.write_bytes(bytes(2**16))
    mapped = np.memmap(path, np.uint8, "c", shape=(2**10, 2**6))

    def flags() -> list[str]:
        _, _, of_file = Path("/proc/self/smaps").read_text().partition(str(path))
        line = next(line for line in of_file.splitlines() if line.startswith("VmFlags:"))
        return line.split()[1:]

    assert "rr" not in flags()
    expect_random_reads(mapped)
    assert "rr" in flags()
