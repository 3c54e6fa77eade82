"""The rules of the house: which room may import which, names of files, imports without effects."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = tomllib.loads((ROOT / "docs" / "rooms.toml").read_text(encoding="utf-8"))
GROUND = set(ROOMS.pop("ground"))
ALLOWED: dict[str, list[str]] = {
    room: may for package in ROOMS.values() for room, may in package.items()
}
NO_GROUND = {"app.operations", "vae_client"}
PACKAGES = {
    "app": ROOT,
    "models": ROOT,
    "training": ROOT,
    "deploy": ROOT,
    "vae_client": ROOT / "client",
}
FORBIDDEN = {
    "app": {"training", "deploy", "sklearn"},
    "models": {"app", "training", "deploy", "vae_client", "fastapi", "starlette", "sklearn"},
    "training": {"app", "deploy", "vae_client", "fastapi", "starlette", "uvicorn"},
    "deploy": {"sklearn"},
    "vae_client": {"app", "models", "training", "deploy", "torch", "fastapi", "starlette"},
}
FREE_OF_HTTP = ("app/operations", "app/wire", "app/compute", "app/search")
FREE_OF_TORCH = ("app/operations", "app/wire", "app/search", "models/images", "client/vae_client")
DRAWERS = {"base", "common", "core", "helpers", "misc", "utils"}


def sources(package: str) -> list[Path]:
    """The package's Python files, which must exist for any rule to mean something."""
    files = sorted((PACKAGES[package] / package).rglob("*.py"))
    assert files, f"{package}/ holds no Python file"
    return files


def module_name(path: Path, package: str) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path, package): path for package in PACKAGES for path in sources(package)}


def room_of(module: str) -> str:
    """The room that a module lies in: a folder of its package, or the file itself."""
    parts = module.split(".")
    return "vae_client" if parts[0] == "vae_client" else ".".join(parts[:2])


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names that a file imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def imported_modules(path: Path) -> Iterator[str]:
    """Modules of this project that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES or node.module in MODULES:
                    yield whole if whole in MODULES else node.module


IMPORTS = {module: sorted(set(imported_modules(path))) for module, path in MODULES.items()}


@pytest.mark.parametrize("module", MODULES)
def test_every_import_leads_to_a_room_that_may_be_imported(module: str) -> None:
    room = room_of(module)
    if room in GROUND or room in PACKAGES.keys() - {"vae_client"}:
        allowed = GROUND
    else:
        allowed = {room, *ALLOWED[room], *(set() if room in NO_GROUND else GROUND)}
    assert not [other for other in IMPORTS[module] if room_of(other) not in allowed]


def test_the_table_names_every_room() -> None:
    rooms = {room_of(module) for module in MODULES} - GROUND - PACKAGES.keys()
    assert rooms | {"vae_client"} == ALLOWED.keys() - GROUND


def find_cycle(edges: Mapping[str, Collection[str]]) -> list[str]:
    """Nodes of some circle, or none."""
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert find_cycle(IMPORTS) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for module, others in IMPORTS.items():
        room = room_of(module)
        edges.setdefault(room, set()).update(o for o in map(room_of, others) if o != room)
    assert find_cycle(edges) == []


@pytest.mark.parametrize(
    ("rooms", "libraries"),
    [(FREE_OF_HTTP, {"fastapi", "starlette", "uvicorn"}), (FREE_OF_TORCH, {"torch"})],
    ids=["HTTP", "torch"],
)
def test_rooms_that_need_no_framework_import_none(
    rooms: Sequence[str], libraries: Set[str]
) -> None:
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    assert not [
        (str(path), name) for path in files for name, _ in imported(path) if name in libraries
    ]


def test_importing_a_room_that_needs_no_torch_does_not_bring_it() -> None:
    rooms = {room.replace("/", ".").removeprefix("client.") for room in FREE_OF_TORCH}
    modules = [name for name in MODULES if room_of(name) in rooms]
    assert len(modules) > 2 * len(rooms)
    script = f"import sys, {', '.join(modules)}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


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
    ("package", "extras"),
    [
        ("models", []),
        ("app", ["serve", "otel"]),
        ("training", ["train", "hub", "mlflow", "onnx", "sweep"]),
        ("deploy", ["serve", "train", "parquet", "ray"]),
        ("vae_client", ["serve"]),
    ],
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
    modules = [name for name in MODULES if not name.endswith("__main__")]
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


@pytest.mark.slow
def test_importing_writes_no_file_starts_nothing_and_asks_no_network(
    import_record: dict[str, list[str]],
) -> None:
    assert import_record["acts"] == []


@pytest.mark.slow
def test_importing_sets_no_seed_device_thread_count_or_signal_handler(
    import_record: dict[str, list[str]],
) -> None:
    assert import_record["changed"] == []
