"""The OpenAPI document as generators of clients take it: `make check-clients` downloads them."""

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.server_process import ROOT, Served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("CHECK_CLIENTS"),
        reason="generators of clients are downloaded: make check-clients",
    ),
]

GENERATORS = ROOT / "tests" / "app" / "generators"
CACHE = ROOT / ".cache" / "clients"
Tool = Callable[..., str]


def output_of(*command: object, folder: Path) -> str:
    """What a command prints; a failure shows it."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "REDOCLY_TELEMETRY": "off", "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def install(*command: object, folder: Path) -> None:
    """Install generators, or skip: a registry out of reach is no fault of the document."""
    try:
        output_of(*command, folder=folder)
    except AssertionError as error:
        pytest.skip(f"cannot install: {error}")


@pytest.fixture(scope="module")
def node() -> Tool:
    """Runs a tool of npm, at the version in package.json."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    shutil.copy(GENERATORS / "package.json", CACHE)
    install("npm", "install", "--no-audit", "--no-fund", folder=CACHE)

    def run(tool: str, *arguments: object, folder: Path) -> str:
        return output_of(CACHE / "node_modules" / ".bin" / tool, *arguments, folder=folder)

    return run


@pytest.fixture(scope="module")
def python() -> Tool:
    """Runs a module of Python, at the version in requirements.txt."""
    CACHE.mkdir(parents=True, exist_ok=True)
    binaries = CACHE / "venv" / "bin"
    if not (binaries / "pip").exists():
        venv.create(CACHE / "venv", with_pip=True)
    requirements = GENERATORS / "requirements.txt"
    install(binaries / "pip", "install", "--quiet", "-r", requirements, folder=CACHE)

    def run(*arguments: object, folder: Path) -> str:
        return output_of(binaries / "python", *arguments, folder=folder)

    return run


@pytest.fixture
def document(served: Served, tmp_path: Path) -> Path:
    """The document of a server, as a file in the test's folder."""
    path = tmp_path / "openapi.json"
    path.write_bytes(served.client.get("/openapi.json").content)
    return path


def test_a_validator_finds_the_document_valid(python: Tool, document: Path) -> None:
    assert "OK" in python("-m", "openapi_spec_validator", document, folder=document.parent)


def test_redocly_finds_neither_errors_nor_warnings(node: Tool, document: Path) -> None:
    printed = node("redocly", "lint", document, "--format=json", folder=document.parent)
    start = printed.index('{\n  "totals"')
    found, _ = json.JSONDecoder().raw_decode(printed, start)
    assert (found["totals"]["errors"], found["totals"]["warnings"]) == (0, 0), printed


def test_typescript_generators_write_what_the_compiler_takes(node: Tool, document: Path) -> None:
    folder = document.parent
    node("openapi-typescript", document, "-o", "types.ts", folder=folder)
    node("openapi-ts", "-i", document, "-o", "client", "--no-log-file", folder=folder)
    assert "encode_by_model" in (folder / "types.ts").read_text(encoding="utf-8")
    assert "encodeByModel" in (folder / "client" / "sdk.gen.ts").read_text(encoding="utf-8")
    options = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext")
    sources = ("types.ts", "client/index.ts")
    libraries = ("--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable")
    node("tsc", *options, *libraries, *sources, folder=folder)


def test_calls_of_the_python_client_are_answered_as_typed(
    python: Tool, document: Path, served: Served
) -> None:
    folder = document.parent
    generate = (
        "generate",
        "--path",
        document,
        "--meta",
        "none",
        "--output-path",
        "vae_serve_client",
    )
    python("-m", "openapi_python_client", *generate, folder=folder)
    printed = python(GENERATORS / "python_calls.py", served.url, folder=folder)
    assert "answered as typed" in printed
