"""Images on the disk are read ahead of the steps, and the run is the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from training.data import formats
from training.fit import batches, read_ahead
from training.fit.read_ahead import ReadAhead
from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.runs.checkpoint import CHECKPOINT
from training.runs.folder import read_log


def test_a_reader_stays_so_many_steps_ahead_and_ends_with_its_context() -> None:
    taken: list[int] = []

    def batches_taken():  # type: ignore[no-untyped-def]
        for step in range(1_000):
            taken.append(step)
            yield torch.arange(4)

    reader = ReadAhead(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), batches_taken())
    with reader:
        for _ in range(10):
            reader.advance()
        while len(taken) < read_ahead.STEPS + 11:
            pass
    assert len(taken) == read_ahead.STEPS + 11  # the last one waits for room
    assert not reader._thread.is_alive()
    assert reader.images_per_second > 0


def test_a_reader_ends_with_its_batches() -> None:
    with ReadAhead(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), iter([torch.arange(3)])) as reader:
        reader._thread.join(60)
        assert not reader._thread.is_alive()


def test_a_run_on_images_of_the_disk_is_that_on_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_CACHE_DIR", str(tmp_path / "kept"))
    images = np.random.default_rng(0).integers(0, 256, (400, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "pictures.npy", images)
    network = '{kind="mlp",hidden=[4]}'
    recipe = load_recipe(
        RECIPES / "digits.toml",
        overrides=[
            *(f"dataset.name={tmp_path / 'pictures.npy'}", "image.levels=256"),
            *(f"vae.encoder={network}", f"vae.decoder={network}", "vae.latent_shape=[2]"),
            'vae.likelihood={kind="discretized_logistic",levels=256}',
            *("training.epochs=2", "training.batch_size=50"),
        ],
    )
    monkeypatch.setattr(formats, "MAPPED_FROM", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, share in (("memory", 1.0), ("disk", 0.0)):
        monkeypatch.setattr(batches, "MAPPED_SHARE", share)
        console = Console(quiet=True)
        train(recipe, run_dir=tmp_path / name, device="cpu", tensorboard=False, console=console)
    torch.set_num_threads(before)
    one, other = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in ("memory", "disk")
    )
    assert all(torch.equal(value, other["vae"][name]) for name, value in one["vae"].items())
    logs = {name: read_log(tmp_path / name) for name in ("memory", "disk")}
    assert all("images_read_per_second" not in line for line in logs["memory"])
    assert all(line["images_read_per_second"] > 0 for line in logs["disk"])
