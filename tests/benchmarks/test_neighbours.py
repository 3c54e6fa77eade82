"""The benchmark of neighbours: its distances, and the tables of what is at hand."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import neighbours
from benchmarks.neighbours import distances


def test_distances_are_what_they_are_called() -> None:
    random = np.random.default_rng(0)
    means = random.normal(size=(4000, 3)) @ np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.1]])
    found = distances(means, np.full_like(means, 0.5))
    assert found["Euclidean between means"](means) is means
    lengths = np.linalg.norm(found["angle between means (cosine)"](means), axis=1)
    np.testing.assert_allclose(lengths, 1)
    np.testing.assert_allclose(np.cov(found["means whitened"](means).T), np.eye(3), atol=1e-9)
    aggregate = means + 0.5 * random.normal(size=means.shape)
    white = np.cov(found["aggregate posterior whitened"](aggregate).T)
    np.testing.assert_allclose(white, np.eye(3), atol=0.1)
    np.testing.assert_allclose(found["means in units of the posterior's sd"](means), 2 * means)


@pytest.mark.slow
def test_models_are_compared_and_those_without_data_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(neighbours, "MODELS", ("digits", "mnist"))
    shares, speed = neighbours.run(quick=True, threads=1)
    assert [column.header for column in shares.columns] == ["distance", "digits"]
    assert "mnist is left out" in str(shares.caption)
    share = float(next(iter(shares.columns[1].cells)).split()[0])
    assert share > 85
    assert next(iter(speed.columns[0].cells)) == "numpy"
