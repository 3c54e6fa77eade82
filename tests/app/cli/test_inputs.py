"""Which files paths, folders, globs and standard input name, and what is said of the others."""

import io
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.cli import inputs
from app.cli.inputs import Inputs, find_inputs, open_inputs, unique_names
from models.images import to_sheet
from tests.app.pictures import binary, encoded, npy
from vae_client.errors import CallError
from vae_client.sources import ReadArrays

PICTURE = encoded(binary(1)[0])
Find = Callable[..., Inputs]


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """Finds inputs in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*texts: str, takes: tuple[str, ...] = ("images",), out: str | None = None) -> Inputs:
        output = None if out is None else Path(out)
        return find_inputs(texts, takes, operation="elbo", output=output)

    return run


def write(*names: str | bytes, content: bytes = PICTURE) -> None:
    for name in names:
        path = Path(os.fsdecode(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def found(result: Inputs) -> list[str]:
    return [path.as_posix() for path in result.files]


def test_pictures_are_known_by_their_first_bytes_whatever_they_are_called(find: Find) -> None:
    write("in/a", "in/b.jfif", "in/c.PNG", "in/d.txt", "in/deep/er/e.png", "in/dir.png/f.png")
    write("in/.hidden.png", "in/.h/g.png")
    result = find("in")
    names = ["a", "b.jfif", "c.PNG", "d.txt", "deep/er/e.png", "dir.png/f.png"]
    assert found(result) == [f"in/{name}" for name in names]
    assert dict(result.left_out) == {"in/.h": "hidden folder", "in/.hidden.png": "hidden file"}
    assert result.failed == []


def test_what_is_no_picture_is_left_out_and_what_should_be_one_has_failed(find: Find) -> None:
    write("in/a.png", "in/scores.npy", content=npy(binary(1)))
    write("in/LICENSE", "in/labels.csv", "in/a.docx", content=b"PK\x03\x04 words")
    write("in/empty.png", "in/empty.txt", content=b"")
    write("in/words.png", content=b"words")
    write("in/face.pgm", "in/face", content=encoded(binary(1)[0], "PPM"))
    write("in/photo.heic", content=b"\0\0\0\x18ftypheic")
    write("in/a.pam", content=b"P7\nWIDTH 2\n")
    write("in/scan", content=b"\0\0\0\x0cjP  \r\n")
    os.mkfifo("in/pipe.png")
    os.mkfifo("in/pipe")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind("in/socket.png")
    Path("in/gone.png").symlink_to("nowhere")
    Path("in/circle.png").symlink_to("circle.png")
    result = find("in")
    assert found(result) == ["in/a.png", "in/face", "in/face.pgm", "in/scores.npy"]
    assert dict(result.left_out) == {
        "in/LICENSE": "not a picture or array",
        "in/a.docx": "not a picture or array",
        "in/empty.txt": "an empty file (0 bytes).",
        "in/labels.csv": "not a picture or array",
        "in/pipe": "not a regular file (a pipe, socket or device).",
        "in/scan": "JPEG 2000 pictures are not read here; PNG, JPEG, WebP, GIF, BMP, TIFF, Netpbm "
        "are. Convert it to PNG.",
    }
    failed = dict(result.failed)
    assert failed.pop("in/circle.png").startswith("Too many levels of symbolic links.")
    assert failed.pop("in/photo.heic").endswith("Convert it to PNG.")
    assert failed.pop("in/a.pam").startswith("PAM pictures are not read here;")
    assert failed.pop("in/words.png") == (
        "The file is text that begins with 'words', and no picture. Pictures are PNG, JPEG, WebP, "
        "GIF, BMP, TIFF, Netpbm."
    )
    assert failed == {
        "in/empty.png": "an empty file (0 bytes).",
        "in/gone.png": "a link to nothing.",
        "in/pipe.png": "not a regular file (a pipe, socket or device).",
        "in/socket.png": "not a regular file (a pipe, socket or device).",
    }


def test_sheets_that_this_project_drew_are_left_out_of_a_folder_unless_named(find: Find) -> None:
    write("in/a.png")
    write("in/sheet.png", content=to_sheet(np.zeros((4, 1, 8, 8), np.uint8), 2))
    result = find("in")
    assert found(result) == ["in/a.png"]
    assert result.left_out == [("in/sheet.png", "drawn by vae or vae-lab")]
    assert found(find("in/sheet.png")) == ["in/sheet.png"]


def test_files_without_rights_or_too_large_have_failed(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in/a.png", "in/locked")
    read = Path.open

    def opened(self: Path, *arguments: str) -> object:
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        return read(self, *arguments)

    monkeypatch.setattr(Path, "open", opened)
    assert dict(find("in").failed) == {
        "in/locked": "Permission denied. Check the file and its permissions."
    }
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", 10)
    assert dict(find("in").failed) == {
        "in/a.png": "larger than 10 bytes.",
    }


def test_a_file_that_vanishes_during_the_search_has_failed(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in/a.png", "in/b.png")
    stat = Path.stat

    def vanished(self: Path, **options: bool) -> os.stat_result:
        if self.name == "b.png":
            raise FileNotFoundError(2, "No such file or directory")
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", vanished)
    assert find("in").failed == [("in/b.png", "no longer there.")]


def test_a_folder_that_cannot_be_opened_has_failed(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in/a.png", "in/locked/b.png")
    scan = os.scandir

    def refused(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert find("in").failed == [("in/locked", "Permission denied.")]


def test_a_path_that_exists_is_no_glob(find: Find) -> None:
    write("scan [1].png", "scan 1.png", "what?.png", "whats.png", "[ab]/c.png", "a/d.png")
    assert found(find("scan [1].png")) == ["scan [1].png"]
    assert found(find("what?.png")) == ["what?.png"]
    assert found(find("[ab]")) == ["[ab]/c.png"]
    assert found(find("scan*.png")) == ["scan 1.png", "scan [1].png"]
    assert found(find(f"{Path.cwd()}/w*s.png")) == [f"{Path.cwd()}/whats.png"]


def test_a_glob_takes_pictures_and_says_what_it_left(find: Find) -> None:
    write("a.png", ".b.png", "c/d.png")
    write("notes.txt", content=b"words")
    result = find("*")
    assert found(result) == ["a.png"]
    assert result.left_out == [("notes.txt", "not a picture or array")]
    assert found(find("**/*.png")) == ["a.png", "c/d.png"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "A file's name is empty."),
        ("a.pgn", "There is no file 'a.pgn'. Did you mean 'a.png'?"),
        ("a\n", r"There is no file 'a\n'."),
        ("no/a.png", "There is no file 'no/a.png'. Check the path."),
        ("~nobody-of-this-name/a", "There is no file '~nobody-of-this-name/a'. Check the path."),
        ("**.png**", "No picture or array matches '**.png**'."),
        ("empty", "The folder 'empty' holds no picture or array. Read are: .png, .jpg"),
        ("words", "holds no picture or array (words/a.txt: not a picture or array). Read are"),
    ],
)
def test_a_name_without_any_input_is_refused_before_the_work(
    find: Find, text: str, words: str
) -> None:
    write("a.png")
    write("words/a.txt", content=b"words")
    Path("empty").mkdir()
    with pytest.raises(CallError) as raised:
        find("a.png", text)
    assert words in str(raised.value)


def test_a_file_given_by_name_that_is_no_picture_has_failed(find: Find) -> None:
    write("a.png")
    write("notes.txt", content=b"words")
    os.mkfifo("pipe")
    result = find("a.png", "notes.txt", "pipe")
    assert found(result) == ["a.png"]
    assert result.failed[0][1].startswith("not a picture or array. Read are: .png, ")
    assert "Convert" not in result.failed[0][1]
    assert result.failed[1] == ("pipe", "not a regular file (a pipe, socket or device).")


def test_pictures_are_no_latents(find: Find) -> None:
    write("in/a.png")
    write("in/z.npy", content=npy(np.zeros((2, 3))))
    result = find("in", takes=("latents",))
    assert found(result) == ["in/z.npy"]
    assert result.left_out == [("in/a.png", "a picture, not latents")]
    with pytest.raises(CallError, match=r"Encode it first: vae encode in/a\.png -o latents\.npy"):
        find("in/a.png", takes=("latents",))


def test_the_output_is_no_input_of_its_folder(find: Find) -> None:
    write("in/a.png", "in/out/b.png", "in/grid.png")
    assert found(find("in", out="in/out")) == ["in/a.png", "in/grid.png"]
    result = find("in", out="in/grid.png")
    assert found(result) == ["in/a.png", "in/out/b.png"]
    assert ("in/grid.png", "the output") in result.left_out


def test_an_output_around_its_inputs_is_no_reason_to_leave_them_out(find: Find) -> None:
    write("in/a.png", "b.png", "reconstruct.png")
    assert found(find("in", out=".")) == ["in/a.png"]
    assert found(find("*.png", out="reconstruct.png")) == ["b.png"]


@pytest.mark.parametrize("out", ["in/a.png", "in", "in/../in/a.png"])
@pytest.mark.parametrize("text", ["in/a.png", "in/[a].png"])
def test_an_output_never_replaces_an_input(find: Find, text: str, out: str) -> None:
    write("in/a.png")
    replaced = r"would replace the input in/a\.png\. Write elsewhere: |No picture or array matches"
    with pytest.raises(CallError, match=replaced):
        find(text, out=out)


def test_a_folder_of_inputs_is_no_folder_to_write_into(find: Find) -> None:
    write("in/a.png")
    with pytest.raises(CallError, match=r"--out in would replace .* Write elsewhere: --out in-out"):
        find("in", out="in")


# As sources


def opened(result: Inputs, *, strict: bool = False) -> list[tuple[str, ...]]:
    read = ReadArrays(lambda array: array, lambda array: array, lambda array: False)
    sources = open_inputs(result, "elbo", ("images",), lambda name: read, strict=strict)
    return [source.labels for source in sources]


def test_neighbouring_pictures_share_a_source_under_printable_unique_names(find: Find) -> None:
    write("a.png", "b\n.png", b"c\xff.png")
    write("z.npy", content=npy(np.zeros((2, 1, 4, 4))))
    names = ["a.png", "b\n.png", os.fsdecode(b"c\xff.png"), "z.npy", "a.png", "z.npy"]
    assert opened(find(*names)) == [
        ("a.png", r"b\n.png", r"c\udcff.png"),
        ("z.npy[0]", "z.npy[1]"),
        ("a.png#2",),
        ("z.npy#2[0]", "z.npy#2[1]"),
    ]


def test_names_are_numbered_until_none_is_equal() -> None:
    assert unique_names(["a", "a#2", "a", "b", "a"]) == ["a", "a#2", "a#3", "b", "a#4"]


def test_an_array_that_cannot_be_read_has_failed_or_stops_a_strict_command(find: Find) -> None:
    write("a.png")
    write("cut.npy", content=npy(np.zeros((2, 1, 4, 4)))[:90])
    result = find("a.png", "cut.npy")
    assert opened(result) == [("a.png",)]
    assert result.failed == [("cut.npy", "cut.npy is truncated (90 bytes). Copy or save it again.")]
    with pytest.raises(CallError, match=r"cut\.npy is truncated"):
        opened(find("cut.npy"), strict=True)


class Stdin(io.TextIOWrapper):
    """Standard input with a content, on a terminal or not."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(content))
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_standard_input_is_a_picture_or_an_array(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(PICTURE))
    assert opened(find("-", out="in")) == [("-",)]
    monkeypatch.setattr(sys, "stdin", Stdin(npy(np.zeros((2, 1, 4, 4)))))
    assert opened(find("-")) == [("-[0]", "-[1]")]


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (Stdin(b""), "Standard input is empty."),
        (Stdin(b"", terminal=True), "which is a terminal."),
        (Stdin(bytes(20)), "Standard input is longer than 10 bytes."),
    ],
)
def test_standard_input_that_cannot_be_one_file_is_refused(
    find: Find, monkeypatch: pytest.MonkeyPatch, stdin: Stdin, words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(inputs, "MAX_FILE_BYTES", 10)
    with pytest.raises(CallError, match=words):
        opened(find("-"))
