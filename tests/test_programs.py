"""`vae` and `vae-lab` answer at once where nothing is computed, and look alike."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import commands as vae
from models import __version__
from training.commands import lab

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {"app": vae, "training": lab}
HEAVY = ("torch", "numpy", "fastapi", "httpx", "pydantic_settings", "rich")
QUICK: dict[str, list[list[str]]] = {
    "app": [[], ["--help"], ["--version"]],
    "training": [[], ["--help"], ["--version"]],
}
WITHOUT_NUMPY = [["encode", "--help"], ["log-likelihood", "--help"], ["index", "--help"]]
WITHOUT_NUMPY += [["search", "--help"], ["models", "--help"], ["serve", "--help"]]
WITHOUT_TORCH: dict[str, list[list[str]]] = {
    "app": [
        ["hash-key", "--help"],
        ["models"],
        ["models", "--json"],
        ["models", "--model-repository", "nowhere"],
    ],
    "training": [["train", "--help"], ["datasets", "show", "--help"], ["plot", "--help"]],
}
SCRIPT = """
import contextlib, importlib, io, json, sys
module, lines, heavy = json.loads(sys.argv[1])
loaded = {}
for arguments in lines:
    sys.argv = ["program", *arguments]
    program = importlib.import_module(module)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            program.main()
    loaded[" ".join(arguments)] = [name for name in heavy if name in sys.modules]
print(json.dumps(loaded))
"""


def loaded_by(package: str, lines: list[list[str]], heavy: list[str]) -> dict[str, list[str]]:
    """Of these libraries, those that a program has loaded after each command line."""
    asked = json.dumps([PROGRAMS[package].__name__, lines, heavy])
    environment = {name: value for name, value in os.environ.items() if name[:4] != "VAE_"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, asked],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded: dict[str, list[str]] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize("package", PROGRAMS)
def test_help_and_version_load_no_library_but_that_of_the_command_line(package: str) -> None:
    loaded = loaded_by(package, QUICK[package], list(HEAVY))
    assert loaded == {" ".join(arguments): [] for arguments in QUICK[package]}


def test_help_of_a_command_loads_no_library_of_its_numbers() -> None:
    loaded = loaded_by("app", WITHOUT_NUMPY, ["torch", "numpy"])
    assert loaded == {" ".join(arguments): [] for arguments in WITHOUT_NUMPY}


@pytest.mark.parametrize("package", PROGRAMS)
def test_what_computes_nothing_loads_no_torch(package: str) -> None:
    loaded = loaded_by(package, WITHOUT_TORCH[package], ["torch"])
    assert loaded == {" ".join(arguments): [] for arguments in WITHOUT_TORCH[package]}


@pytest.mark.parametrize("package", PROGRAMS)
def test_the_list_of_commands_says_what_each_says_itself(package: str) -> None:
    program = PROGRAMS[package]
    for command in program.COMMANDS:
        shown = CliRunner().invoke(program.make_app(command.name), [command.name, "--help"])
        assert shown.exit_code == 0
        assert command.help in " ".join(shown.stdout.split())


@pytest.mark.parametrize("package", PROGRAMS)
def test_the_version_is_that_of_the_package(package: str) -> None:
    name = {"app": "vae", "training": "vae-lab"}[package]
    shown = CliRunner().invoke(PROGRAMS[package].make_app(""), ["--version"])
    assert shown.exit_code == 0
    assert shown.stdout == f"{name} {__version__}\n"


def test_help_of_both_has_the_same_sections_in_plain_text() -> None:
    shown = [CliRunner().invoke(program.make_app(""), ["--help"]).stdout for program in (vae, lab)]
    sections = [re.findall(r"^(\w+):", text, re.MULTILINE) for text in shown]
    assert sections == [["Usage", "Options", "Commands"]] * 2
    assert not [text for text in shown if "│" in text]


@pytest.mark.parametrize("package", PROGRAMS)
def test_a_command_that_does_not_exist_is_exit_code_two_with_the_closest(package: str) -> None:
    program = PROGRAMS[package]
    command = program.COMMANDS[0].name
    shown = CliRunner().invoke(program.make_app(command[:-1]), [command[:-1]])
    assert shown.exit_code == 2
    assert f"'{command}'" in shown.stderr


@pytest.mark.parametrize("package", PROGRAMS)
def test_a_shell_that_completes_a_line_gets_every_command(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"app": "vae", "training": "vae-lab"}[package]
    variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
    monkeypatch.setenv(variable, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"{name} ")
    monkeypatch.setenv("COMP_CWORD", "1")
    program = PROGRAMS[package]
    shown = CliRunner().invoke(
        program.make_app(program.asked_command([])), [], prog_name=name, complete_var=variable
    )
    for command in program.COMMANDS:
        assert command.name in shown.stdout
