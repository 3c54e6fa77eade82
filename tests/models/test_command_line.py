"""How a command line begins and how its failure reads."""

import sys
from collections.abc import Callable

import pytest

from models.command_line import Command, asked_command, make_program, say_failure


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [([], ""), (["--help"], ""), (["encode", "--help"], "encode"), (["--", "encode"], "encode")],
)
def test_the_first_word_names_the_command(arguments: list[str], asked: str) -> None:
    assert asked_command(arguments) == asked


def test_a_shell_that_completes_may_need_any_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_VAE_LAB_COMPLETE", "complete_bash")
    assert asked_command(["encode"]) is None


@pytest.mark.parametrize(("asked", "loaded"), [("b", ["b"]), ("", []), (None, ["a", "b"])])
def test_only_the_command_that_is_asked_for_is_loaded(
    capsys: pytest.CaptureFixture[str], asked: str | None, loaded: list[str]
) -> None:
    done: list[str] = []

    def command(name: str) -> Command:
        def load() -> Callable[[], None]:
            done.append(name)
            return lambda: sys.stdout.write(f"ran {name}\n") and None

        return Command(name, f"Help of {name}.", load)

    program = make_program("p", "About p.", [command("a"), command("b")], asked)
    assert done == loaded
    if asked:
        program([asked], standalone_mode=False)
        assert capsys.readouterr().out == f"ran {asked}\n"
    program(["--help"], standalone_mode=False)
    said = capsys.readouterr().out
    assert all(words in said for words in ("About p.", "Help of a.", "Help of b.", "--version"))


def test_a_failure_is_plain_in_a_pipe_and_red_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_failure("no \x1b[31m\nsuch")
    assert capsys.readouterr().err == "Error: no \\x1b[31m\nsuch\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    say_failure("no")
    assert capsys.readouterr().err == "\x1b[31mError:\x1b[0m no\n"
    monkeypatch.setenv("NO_COLOR", "1")
    say_failure("no")
    assert capsys.readouterr().err == "Error: no\n"
