"""What commands print, on terminals and pipes that cannot take it."""

import errno
import os
import sys
from pathlib import Path

import pytest

from app.cli import terminal
from app.cli.terminal import print_whole, say


def test_a_message_is_printed_as_it_is_but_for_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(":bug: [red]a[/red]\x1b[31m\n  b")
    assert capsys.readouterr().err == ":bug: [red]a[/red]\\x1b[31m\n  b\n"


def test_a_result_is_printed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_whole("a,b\n")
    assert capsys.readouterr().out == "a,b\n"


class Broken:
    """Standard output that cannot be written to."""

    def __init__(self, number: int | None) -> None:
        self.number = number

    def write(self, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        if self.number is None:
            raise ValueError("no file")
        return self.number


def test_what_could_not_be_printed_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr(sys, "stdout", Broken(file.fileno()))
        with pytest.raises(OSError, match="No space left"):
            print_whole("text")
        os.write(file.fileno(), b"to nowhere")
    assert (tmp_path / "out").read_text() == ""


def test_standard_output_may_be_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(None))
    with pytest.raises(OSError, match="No space left"):
        print_whole("text")
    assert terminal.messages.stderr
