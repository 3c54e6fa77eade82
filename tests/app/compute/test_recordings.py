"""Recorded calls: the same bits as the calls that are written, and nothing kept of a model."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from app.compute import recordings
from app.compute.passes import (
    decode_rows,
    encode_rows,
    reconstruct_rows,
    record_passes,
    sample_rows,
)
from app.serving.served_model import ServedModel, serve_bundle
from app.settings import PRETRAINED
from models.bundle.loading import load_bundle
from models.vae.model import VAE
from models.vae_config import VAEConfig

ROWS = (1, 3, 17, 64, 65)
"""Up to the most that a recording takes, and one more."""

MLP = {"kind": "mlp", "hidden": [4]}
SMALL = {
    "image_shape": [1, 2, 2],
    "latent_shape": [2],
    "likelihood": {"kind": "bernoulli"},
    "encoder": MLP,
    "decoder": MLP,
}


@pytest.fixture(autouse=True)
def _unchecked() -> Iterator[None]:
    """Without the tests' checks of shapes, which are no numbers while a call is recorded."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


def load(name: str) -> ServedModel:
    return serve_bundle(load_bundle(PRETRAINED / name / "1"), "cpu")


def recorded(vae: VAE) -> dict[Any, recordings.Recording]:
    found = recordings._recordings.get(vae, {})
    return {call: recording for call, recording in found.items() if recording is not None}


def answers(vae: VAE) -> Iterator[tuple[np.ndarray | None, ...]]:
    """What the operations' passes give of batches of several sizes."""
    random = np.random.default_rng(0)
    for count in ROWS:
        x = random.random((count, *vae.image_shape)).round().astype(np.float32)
        z = random.standard_normal((count, *vae.latent_shape)).astype(np.float32)
        y = torch.arange(count) % vae.num_labels if vae.num_labels else None
        yield encode_rows(vae, True, x, y, None)
        yield decode_rows(vae, "mean", z, y, None)
        yield reconstruct_rows(vae, "mean", True, x, y, None)
        yield sample_rows(vae, "mean", 0.7, z, y, None)


def same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a is b if a is None or b is None else np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["digits", "mnist-labelled"])
def test_a_recorded_pass_has_the_bits_of_the_one_that_is_written(name: str) -> None:
    served = load(name)
    written = list(answers(served.vae))
    record_passes(served)
    assert len(recorded(served.vae)) == 2, "nothing was recorded, so that nothing is compared"
    assert all(map(same, answers(served.vae), written))


def test_a_recorded_row_has_the_same_bits_alone_and_among_others() -> None:
    served = load("digits")
    record_passes(served)
    x = np.random.default_rng(1).random((64, *served.vae.image_shape)).astype(np.float32)
    together = encode_rows(served.vae, True, x, None, None)
    for start, end in [(0, 1), (5, 8), (20, 41), (63, 64)]:
        alone = encode_rows(served.vae, True, x[start:end], None, None)
        assert same(alone, tuple(r if r is None else r[start:end] for r in together))


def test_a_model_that_is_dropped_takes_its_recordings_and_weights_along() -> None:
    served = load("digits")
    record_passes(served)
    model, weight = weakref.ref(served.vae), weakref.ref(next(served.vae.parameters()))
    assert recorded(served.vae)
    del served
    gc.collect()
    assert (model(), weight()) == (None, None)


def plus_one(vae: VAE, rows: Tensor, y: Tensor | None) -> recordings.Results:
    return rows + 1, None


def ask(vae: VAE, rows: Tensor) -> recordings.Results:
    return recordings.run(plus_one, vae, rows=rows, y=None)


def test_rows_unlike_the_recorded_ones_run_as_it_is_written() -> None:
    vae = VAE(VAEConfig.model_validate(SMALL)).freeze()
    recordings.record(plus_one, vae, shape=(2, 3))
    (recording,) = recorded(vae).values()
    assert recording.takes(torch.zeros(4, 2, 3), None)
    others = torch.zeros(65, 2, 3), torch.zeros(4, 3), torch.zeros(4, 2, 3).double()
    for rows in others:
        assert not recording.takes(rows, None)
        result, nothing = ask(vae, rows)
        assert nothing is None
        assert result is not None
        assert torch.equal(result, rows + 1)
        assert result.dtype == rows.dtype


def fails(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no recordings here")


def records_another_call(recorder: Any, given: Any, **_: Any) -> Any:
    return lambda *rows: tuple(result + 1e-7 for result in recorder(*rows))


@pytest.mark.parametrize("trace", [fails, records_another_call])
def test_what_cannot_be_recorded_faithfully_runs_as_it_is_written(
    trace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = VAE(VAEConfig.model_validate(SMALL)).freeze()
    monkeypatch.setattr(torch.jit, "trace", trace)
    recordings.record(plus_one, vae, shape=(2, 3))
    assert not recorded(vae)
    result, _ = ask(vae, torch.zeros(4, 2, 3))
    assert result is not None
    assert torch.equal(result, torch.ones(4, 2, 3))


def test_a_model_on_another_device_is_not_recorded() -> None:
    vae = VAE(VAEConfig.model_validate(SMALL)).freeze().to("meta")
    recordings.record(plus_one, vae, shape=(2, 3))
    assert not recorded(vae)
