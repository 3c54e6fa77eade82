"""Shards as data, as typed: shown, trained on, evaluated and exported."""

from pathlib import Path

import pytest

from tests.training.data.shard_files import cells, picture, samples, write_parquet, write_tar
from tests.training.vae_lab import exit_code

pytestmark = pytest.mark.slow

QUICK = ["--elbo-samples", "2", "--iwae-samples", "2", "--subset", "0", "--device", "cpu"]
SHORT = ["--device", "cpu", "--no-tensorboard", "--set", "training.epochs=1"]


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_shards_become_a_bundle_without_a_recipe(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"faces.{form}"
    if form == "tar":
        write_tar(tmp_path / name, [*samples(range(60)), ("bad.png", picture(0)[:60])])
    else:
        found = [*cells(range(60)), {"bytes": picture(0)[:60]}]
        write_parquet(tmp_path / name, {"image": found, "label": [0, 1, *[1] * 59]})
    assert exit_code("datasets", "show", name) == 0
    printed = capsys.readouterr().out
    assert f"faces.{form}: the pictures of " in printed
    assert "6x6 60" in printed
    assert (tmp_path / "runs/faces/dataset.png").is_file()
    assert exit_code("train", name, *SHORT, "--set", "vae.latent_shape=[2]") == 0
    printed = capsys.readouterr().out
    assert "Recipe for the " in printed
    assert "Left out: 1 file, each listed with its reason in runs/faces/left-out.csv." in printed
    assert exit_code("evaluate", "runs/faces", *QUICK) == 0
    assert exit_code("export", "runs/faces", "--repository", "models", *QUICK) == 0
    assert "the pictures of " in (tmp_path / "models/faces/1/README.md").read_text()
