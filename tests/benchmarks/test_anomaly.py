"""The benchmark of alarms: odd pictures are odd, simple detectors find them, tables name both."""

import io

import numpy as np
import pytest
from rich.console import Console

from benchmarks import anomaly
from benchmarks.anomaly import Case
from benchmarks.corruptions import CORRUPTIONS
from benchmarks.simple_detectors import fit_detectors
from models.estimators.typicality import KINDS
from training.evaluation.odd_pictures import ALL

UNCHANGED = ("blur, 1.5 %", "blur, 2.2 %", "blur, 3.2 %")
"""What changes no level of 17 of pictures of 8 x 8."""
SHADED = np.linspace(0.2, 0.8, 32)[None, :, None] * np.ones((4, 3, 32, 32))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_odd_picture_has_its_size_its_scale_and_other_pixels(name: str) -> None:
    x = SHADED + 0.1 * (np.indices((32, 32)).sum(0) % 2)
    odd = CORRUPTIONS[name](x, np.random.default_rng(0))
    assert odd.shape == x.shape
    assert odd.min() >= 0
    assert odd.max() <= 1
    assert all(np.abs(odd - x).max(axis=(1, 2, 3)) > 0.01)
    assert np.array_equal(odd, CORRUPTIONS[name](x, np.random.default_rng(0)))


def test_a_patch_is_a_black_square_of_a_quarter_and_a_scratch_a_white_line() -> None:
    covered = CORRUPTIONS["black patch"](SHADED, np.random.default_rng(1))
    assert ((covered == 0).sum(axis=(1, 2, 3)) == 3 * 64).all()
    scratched = CORRUPTIONS["scratch"](SHADED, np.random.default_rng(1))
    white = (scratched == 1).all(axis=1).sum(axis=(1, 2))
    assert (white >= 1).all()
    assert (white <= 32 + 32).all()


def test_every_simple_detector_finds_pictures_of_another_kind() -> None:
    generator = np.random.default_rng(0)
    known, odd = generator.random((200, 12)), 2 + generator.random((20, 12))
    for find in fit_detectors(known, known[:, :3]).values():
        assert find(odd, odd[:, :3]).min() > np.quantile(find(known, known[:, :3]), 0.9)


@pytest.mark.slow
def test_alarms_are_measured_beside_simple_detectors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    one_class = Case("digits", label=0, with_regret=True)
    cases = Case("digits", ("digits",)), one_class, Case("digits", ("mnist",))
    monkeypatch.setattr(anomaly, "CASES", cases)
    monkeypatch.setattr(anomaly, "ODD_PICTURES", 5)
    monkeypatch.setattr(anomaly, "TRAINING_PICTURES", 60)
    monkeypatch.setattr(anomaly, "SPLITS", 2)
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path))
    console = Console(width=400, file=io.StringIO(), record=True)
    tables = list(anomaly.run(quick=True, threads=1))
    for made in tables:
        console.print(made)
    text = console.export_text()
    for name in (ALL, *(kind.replace("_", " ") for kind in KINDS), "PCA", *CORRUPTIONS):
        assert (name in text) == (name not in UNCHANGED)
    assert "digits, one class, with the regret: " in text
    assert "likelihood regret" in text
    assert "left out" in text
    assert f"of {anomaly.SPLITS}" in text


def test_only_pairs_where_a_simple_detector_is_better_are_listed() -> None:
    good, far, near = np.arange(100.0), np.arange(200.0, 210.0), np.arange(60.0, 70.0)
    pairs = [
        anomaly.compare(
            "model", odd, dict.fromkeys((ALL, "complexity", "PCA"), good), {ALL: mine, **others}
        )
        for odd, mine in (("found", far), ("missed", near))
        for others in ({"complexity": far, "PCA": far},)
    ]
    made = anomaly._comparison(pairs)
    assert "on 1 of 2 pairs" in str(made.title)
    assert [str(cell) for cell in made.columns[1].cells] == ["missed"]
    assert [str(cell) for cell in made.columns[3].cells] == ["PCA"]
    assert pairs[1].found == {ALL: 0.0, "complexity": 1.0, "PCA": 1.0}
