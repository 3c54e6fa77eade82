"""Code of docs/embeddings.md works as printed, and Qdrant finds what `vae search` finds."""

import re
from pathlib import Path

import pytest

from tests.app.cli.command_cases import ROOT, Vae, done, rows, write_pictures
from tests.app.pictures import binary, encoded
from tests.app.server_process import Served

pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")

pytestmark = pytest.mark.slow


def test_qdrant_finds_the_neighbours_of_vae_search(
    vae: Vae, served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "embeddings.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    write_pictures(tmp_path / "photos", 12)
    (tmp_path / "query.png").write_bytes(encoded(binary(1, seed=3)[0]))
    names: dict[str, object] = {}
    exec(example.replace("http://127.0.0.1:8000", served.url), names)
    names["client"].close()  # type: ignore[attr-defined]
    names["qdrant"].close()  # type: ignore[attr-defined]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    done(vae("index", "photos", "-o", "index"))
    found = rows(done(vae("search", "query.png", "--index", "index", "--top", "3")).stdout)
    assert [Path(file).name for file, _ in printed] == [Path(row["file"]).name for row in found]
    assert [float(distance) for _, distance in printed] == pytest.approx(
        [float(row["distance"]) for row in found], abs=2e-3
    )
