"""The notebook of docs/ runs, and prints what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, clean_environment

NUMBER = re.compile(r"[+-]?\d[\d,]*\.?\d*")


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "").rstrip(".")) for found in NUMBER.findall(text)]


@pytest.mark.slow
def test_the_notebook_prints_what_it_says(tmp_path: Path) -> None:
    cells = json.loads((ROOT / "docs" / "likelihoods.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    said = "".join("".join(cell["outputs"][0]["text"]) for cell in code)
    program = "\n".join("".join(cell["source"]) for cell in code)
    environment = {**clean_environment(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert NUMBER.sub("#", done.stdout) == NUMBER.sub("#", said)
    # The same seed on another processor: draws by its own exp and log.
    assert numbers(done.stdout) == pytest.approx(numbers(said), abs=0.5, rel=0.01)
