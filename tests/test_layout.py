"""The rules of the layout: who may import whom, names of modules, and imports without effects."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "models", "training")
FORBIDDEN = {
    "app": {"training", "lightning", "sklearn"},
    "models": {"app", "training", "fastapi", "starlette", "lightning", "sklearn"},
    "training": {"app", "fastapi", "starlette", "uvicorn"},
}
DRAWERS = {"base", "common", "core", "helpers", "misc", "utils"}


def sources(package: str) -> list[Path]:
    """The package's Python files, which must exist for any rule to mean something."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package}/ holds no Python file"
    return files


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names that a file imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_what_it_must_not_know(package: str) -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for name, line in imported(path)
        if name in FORBIDDEN[package]
    ]
    assert not faults


@pytest.mark.parametrize(
    ("package", "extras"), [("models", []), ("app", ["serve"]), ("training", ["train"])]
)
def test_every_library_that_a_package_imports_is_declared_for_it(
    package: str, extras: list[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    requirements = [
        *project["dependencies"],
        *(line for extra in extras for line in optional[extra]),
    ]
    declared = {normal(re.split(r"[<>=!~ \[;]", line)[0]) for line in requirements}
    installed = packages_distributions()
    faults = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(package)
        for name, line in imported(path)
        if name not in sys.stdlib_module_names and name not in PACKAGES
        if not declared & {normal(distribution) for distribution in installed.get(name, [])}
    ]
    assert not faults


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_a_drawer(package: str) -> None:
    assert not [
        str(path) for path in sources(package) if set(path.parts) & DRAWERS or path.stem in DRAWERS
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    undocumented = [
        str(path.relative_to(ROOT))
        for path in sources(package)
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not undocumented


@pytest.mark.parametrize("package", ["models", "training"])
def test_annotations_are_objects_so_that_shapes_can_be_checked(package: str) -> None:
    assert not [
        str(path.relative_to(ROOT))
        for path in sources(package)
        if "__future__" in {name for name, _ in imported(path)}
    ]


IMPORT_ALL = """
import importlib, json, os, random, signal, sys, threading
import numpy, torch

acts = []
ACTS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir",
        "os.remove", "os.rename", "os.system"}

def watch(event, args):
    wrote = event == "open" and isinstance(args[0], str) and (
        args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if wrote or event in ACTS:
        acts.append(f"{event} {args[0]!r}")

def state():
    return {
        "torch seed": torch.initial_seed(),
        "torch generator": torch.get_rng_state().tolist(),
        "torch threads": torch.get_num_threads(),
        "torch dtype": str(torch.get_default_dtype()),
        "torch gradients": torch.is_grad_enabled(),
        "numpy generator": repr(numpy.random.get_state()),
        "random generator": hash(random.getstate()),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "SIGTERM": str(signal.getsignal(signal.SIGTERM)),
        "threads": threading.active_count(),
        "CUDA": torch.cuda.is_initialized(),
    }

libraries, modules = json.loads(sys.argv[1])
for name in libraries:  # what others do on import is theirs
    importlib.import_module(name)
before = state()
sys.addaudithook(watch)
for name in modules:
    importlib.import_module(name)
after = state()
changed = [name for name in before if before[name] != after[name]]
print(json.dumps({"acts": acts, "changed": changed}))
"""


@pytest.fixture(scope="module")
def import_record() -> dict[str, list[str]]:
    """What a fresh interpreter did, and what changed in it, when it imported every module."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in sources(package)
        if path.stem != "__main__"
    ]
    names = {
        name for package in PACKAGES for path in sources(package) for name, _ in imported(path)
    }
    libraries = sorted(names - set(PACKAGES) - sys.stdlib_module_names)
    done = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_ALL, json.dumps([libraries, modules])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record: dict[str, list[str]] = json.loads(done.stdout)
    return record


def test_importing_writes_no_file_starts_nothing_and_asks_no_network(
    import_record: dict[str, list[str]],
) -> None:
    assert import_record["acts"] == []


def test_importing_sets_no_seed_device_thread_count_or_signal_handler(
    import_record: dict[str, list[str]],
) -> None:
    assert import_record["changed"] == []
