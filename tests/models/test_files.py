"""Files of the user: what a folder holds, how names are printed, how files are written."""

import errno
import os
import sys
import tempfile
from pathlib import Path

import pytest

from models import files
from models.errors import ConfigError
from models.files import (
    check_place,
    explain_os_error,
    own_folder,
    prepare_streams,
    search,
    write_whole,
)

FULL = OSError(errno.ENOSPC, "No space left on device")


def names(found: list[tuple[Path, str]]) -> dict[str, str]:
    return {path.name: reason for path, reason in found}


def test_a_folder_is_searched_to_the_bottom_without_what_is_hidden_or_linked(
    tmp_path: Path,
) -> None:
    for folder in ("deep/er", "dir.png", ".hidden", "__MACOSX", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("b.png", "a", "deep/er/c.png", "dir.png/d.png", ".e.png", ".hidden/f.png"):
        (tmp_path / name).touch()
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    found = search(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == [
        "a",
        "b.png",
        "deep/er/c.png",
        "dir.png/d.png",
        "gone.png",
        "pipe.png",
    ]
    assert names(found.left_out) == {
        ".e.png": "hidden file",
        ".hidden": "hidden folder",
        "__MACOSX": "a folder of the system, not of pictures",
        "circle": "linked folder",
    }
    names_of_folders = [path.relative_to(tmp_path).as_posix() for path in found.folders]
    assert names_of_folders == [".", "deep", "deep/er", "dir.png", "empty"]


def test_folders_that_this_project_wrote_are_not_searched(tmp_path: Path) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    for path in (
        run / "recipe.toml",
        run / "state.json",
        bundle / "manifest.json",
        bundle / "model.safetensors",
    ):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = search(tmp_path)
    assert found.files == []
    assert names(found.left_out) == {"run": "the folder of a run", "bundle": own_folder(bundle)}
    assert found.folders == []  # what lies around them is no class
    assert own_folder(bundle) == "the folder of a model"
    assert own_folder(tmp_path) == ""


def test_a_folder_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert names(search(tmp_path).unreadable) == {"locked": "Permission denied"}


def test_a_file_is_replaced_with_its_rights_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    write_whole(link, b"new")
    write_whole(Path(os.devnull), b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    assert Path(os.devnull).is_char_device()


def test_a_full_disk_leaves_the_old_file_and_no_half_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "a", Path.write_bytes
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> None:
        write(self, data[:1])
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_whole(path, b"new")
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left", "x\n.png"), r"x\n.png: No space left; no file is"),
        (FULL, "Standard output: No space left on device; no file is half written. Free space"),
        (OSError(errno.EACCES, "Permission denied", b"a"), "a: Permission denied. Check the path"),
        (OSError("strange"), "Standard output: strange. Check"),
        (OSError(), "Standard output: OSError. Check"),
    ],
)
def test_failures_of_the_system_are_explained(error: OSError, words: str) -> None:
    assert explain_os_error(error).startswith(words)


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check_place(tmp_path / "a.png", flag="--out")
    check_place(tmp_path / "new" / "folder", flag="--out", is_folder=True)
    check_place(Path(os.devnull), flag="--out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_with_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for path, is_folder, words in (
        ("folder", False, "--out folder: it is a folder. Name a file in it: --out folder/"),
        ("no/a.png", False, "--out no/a.png: there is no folder no. Make it first: mkdir -p no"),
        ("no b/a", False, "Make it first: mkdir -p 'no b'"),
        ("file/a", False, "file is a file, not a folder. Use another one: --out a"),
        ("file", True, "file is a file, not a folder. Use another one: --out file-2"),
        ("/proc/a", False, "/proc cannot be written ("),
        ("/proc/a/b", True, "/proc cannot be written ("),
    ):
        with pytest.raises(ConfigError) as raised:
            check_place(Path(path), flag="--out", is_folder=is_folder)
        assert words in str(raised.value)


def test_a_place_elsewhere_is_one_that_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for may, folder in ((True, Path.home()), (False, Path(tempfile.gettempdir()))):
        monkeypatch.setattr(files.os, "access", lambda path, mode, may=may: may)
        with pytest.raises(ConfigError, match=f"Write elsewhere: --out {folder}/a.png"):
            check_place(Path("/proc/a.png"), flag="--out")


def test_a_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.touch()
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"write-protected. Use another one: --out .*a-2\.png"):
        check_place(path, flag="--out")


def test_streams_escape_what_a_terminal_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        errors = "strict"

        def reconfigure(self, *, errors: str) -> None:
            self.errors = errors

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", object())
    prepare_streams()
    assert stream.errors == "backslashreplace"
