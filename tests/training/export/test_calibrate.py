"""Alarms of bundles: exported with them, calibrated anew, and measured against odd pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.bundle.loading import load_bundle
from models.errors import InputError, UnsupportedOperation
from tests.training.conftest import QUICK, RECIPE
from tests.training.vae_lab import exit_code
from training.data.datasets import load
from training.evaluation import good_pictures
from training.evaluation.odd_pictures import ALL, RATES, detect, measure_detection
from training.export.alarms import with_alarms
from training.export.calibrate import calibrate
from training.export.export import export_run

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(run_dir: Path, tmp_path: Path) -> Path:
    return export_run(run_dir, repository=tmp_path / "models", settings=QUICK)


def write_pictures(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Digits that are brighter than those of the set, and no two of them alike."""
    images = load("digits").train.observations(RECIPE.image)[:80, 0]
    noise = np.random.default_rng(1).integers(0, 40, images.shape)
    return write_pictures(tmp_path / "mine", images * 13 + noise)


def test_an_export_has_scores_of_the_test_split(bundle: Path) -> None:
    good = load_bundle(bundle).good_pictures
    assert good is not None
    assert (good.dataset, good.split) == ("digits", "test")
    count = len(load("digits").test)
    assert len(good.evidence) == round(0.8 * count) - round(0.3 * count)
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert card.count("## Alarms") == 1
    for found in good.false_alarms:
        assert f"| {100 * found.alpha:g} | {found.count} of {found.n} |" in card


def test_calibrating_writes_the_next_version_with_the_same_weights(
    bundle: Path, mine: Path
) -> None:
    new = calibrate(bundle, str(mine))
    assert new.resolve() == (bundle.parent / "2").resolve()
    before, after = load_bundle(bundle), load_bundle(new)
    assert after.good_pictures is not None
    assert (after.good_pictures.dataset, after.good_pictures.split) == ("mine", "all pictures")
    assert len(after.good_pictures.evidence) == 40
    assert after.config == before.config.model_copy(update={"version": 2})
    for name in ("model.safetensors", "parity.safetensors", "evaluation.json"):
        assert (new / name).read_bytes() == (bundle / name).read_bytes()
    card = (new / "README.md").read_text(encoding="utf-8")
    assert card.count("## Alarms") == 1
    assert "of `mine` (all pictures)" in card


def test_a_version_that_exists_is_not_overwritten(bundle: Path, mine: Path) -> None:
    with pytest.raises(FileExistsError, match="never overwritten"):
        calibrate(bundle, str(mine), version=1)


def test_a_model_without_a_likelihood_is_not_calibrated(
    bundle: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.export.calibrate.can_score", lambda vae: False)
    with pytest.raises(UnsupportedOperation, match="tiny cannot be calibrated"):
        calibrate(bundle, str(mine))


def test_odd_pictures_are_measured_as_the_command_prints_them(
    bundle: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = write_pictures(
        tmp_path / "noise", np.random.default_rng(2).integers(0, 256, (30, 8, 8))
    )
    new = calibrate(bundle, "digits")
    plot = tmp_path / "roc.png"
    options = ["--normal", str(mine), "--odd", str(noise), "--plot", str(plot)]
    assert exit_code("ood", str(new), *options) == 0
    printed = capsys.readouterr().out
    rows, scores = measure_detection(new, str(mine), [str(noise)])
    assert rows[0].kind == ALL
    assert rows[0].n_odd == 30
    assert f"{rows[0].auroc:.3f}" in printed
    assert plot.stat().st_size > 1_000
    assert set(scores) == {str(mine), str(noise)}


def test_pictures_that_were_calibrated_with_are_left_out(
    bundle: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="0 pictures are left"):
        measure_detection(bundle, "digits", [str(mine)])
    monkeypatch.setattr(good_pictures, "MOST_PICTURES", 100)
    rows, _ = measure_detection(bundle, "digits", [str(mine)])
    assert rows[0].n_good == 100


def test_a_bundle_without_good_pictures_says_what_to_do(
    bundle: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "good_pictures.json").unlink()
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["good_pictures.json"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnsupportedOperation, match="vae-lab calibrate"):
        measure_detection(bundle, "digits", [str(mine)])


def test_rates_of_detection_by_hand() -> None:
    good, odd = np.arange(100.0), np.array([50.0, 98.5, 99.0, 200.0])
    found = detect("odd", "typicality", good, odd)
    assert found.auroc == pytest.approx((50.5 + 99 + 99.5 + 100) / 400)
    assert found.found == {0.01: 3 / 4, 0.05: 3 / 4}
    assert tuple(found.found) == RATES
    low, high = found.auroc_interval
    assert low < found.auroc < high
    assert 0 < found.aupr < 1


def test_a_card_has_one_section_on_alarms(bundle: Path) -> None:
    good = load_bundle(bundle).good_pictures
    assert good is not None
    without = good.model_copy(update={"false_alarms": ()})
    card = with_alarms(with_alarms("# A\n\ntext\n", good), without)
    assert card.startswith("# A\n\ntext\n\n## Alarms\n")
    assert card.count("## Alarms") == 1
    assert "|" not in card
