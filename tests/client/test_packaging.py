"""`pip install ./client` installs the client alone: what it is called, needs and contains."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVICE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def test_it_needs_no_torch_and_what_it_needs_is_what_the_project_needs() -> None:
    assert [line.partition(">")[0] for line in CLIENT["dependencies"]] == [
        *("httpx", "numpy", "pillow")
    ]
    declared = [*SERVICE["dependencies"], *SERVICE["optional-dependencies"]["serve"]]
    assert set(CLIENT["dependencies"]) < set(declared)


def test_a_wheel_of_it_holds_the_package_and_its_types(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT / "client", tmp_path / "client", ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        said = Parser().parsestr(wheel.read(metadata).decode())
    modules = {f"vae_client/{path.name}" for path in (ROOT / "client/vae_client").glob("*.py")}
    assert names == {*modules, "vae_client/py.typed"}
    assert said["Name"] == "vae-serve-client"
    assert "Private :: Do Not Upload" in said.get_all("Classifier", [])
    assert not any("torch" in line for line in said.get_all("Requires-Dist", []))
