"""How a command line begins and how its failure reads."""

import sys

import pytest

from models.command_line import Command, add_commands, asked_command, say_failure


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
def test_only_the_command_that_is_asked_for_is_loaded(asked: str | None, loaded: list[str]) -> None:
    done: list[str] = []
    added: dict[str, object] = {}

    def command(name: str) -> Command:
        return Command(name, f"Help of {name}.", lambda: done.append(name))

    def add(one: Command, function: object) -> None:
        added[one.name] = function

    add_commands([command("a"), command("b")], asked, add)
    assert done == loaded
    assert [name for name, function in added.items() if function is None] == loaded
    for function in added.values():
        assert function is None or callable(function)
    assert added.keys() == {"a", "b"}


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
