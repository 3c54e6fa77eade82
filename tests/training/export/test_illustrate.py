"""What bundles show of held-out pictures: exported where a licence allows it, or added later."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.bundle.examples import MOST_EXAMPLES
from models.bundle.latent_map import MOST_POINTS
from models.bundle.loading import Bundle, load_bundle
from models.errors import UnsupportedOperation
from models.vae.model import VAE
from tests.training.conftest import QUICK, RECIPE
from tests.training.vae_lab import exit_code
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset, load
from training.data.subset import choose_subset
from training.evaluation import trained
from training.evaluation.held_out import HeldOut
from training.evaluation.latent_plane import MAX_BYTES, make_map
from training.export.export import export_run
from training.export.held_out_files import make_held_out_files
from training.export.illustrate import illustrate
from training.export.sections import with_section

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(run_dir: Path, tmp_path: Path) -> Path:
    return export_run(run_dir, repository=tmp_path / "models", settings=QUICK)


def card_of(path: Path) -> str:
    return (path / "README.md").read_text(encoding="utf-8")


def levels_of(bundle: Bundle) -> np.ndarray:
    assert bundle.examples is not None
    return np.rint(bundle.examples.pictures(bundle.config.image) * 16)


def test_an_export_has_test_images_with_their_labels_and_says_where_they_are_from(
    bundle: Path,
) -> None:
    loaded, digits = load_bundle(bundle), load("digits")
    examples = loaded.examples
    assert examples is not None
    assert len(examples.labels) == MOST_EXAMPLES
    test = digits.test.observations(loaded.config.image)
    assert digits.test.labels is not None
    named = {x.tobytes(): str(label) for x, label in zip(test, digits.test.labels, strict=True)}
    found = [named.get(x.astype(np.float32).tobytes()) for x in levels_of(loaded)]
    assert found == list(examples.labels)
    assert len(set(found)) == 10
    assert examples.source == (
        "64 of 300 held-out pictures of digits (test), as the model takes them: handwritten digits "
        "of the UCI repository, part of scikit-learn. Licence: CC BY 4.0."
    )
    assert f"## Held-out pictures\n\n`examples.json` has {examples.source}\n" in card_of(bundle)


def test_pictures_of_no_known_licence_are_published_on_request_only(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = dataclasses.replace(load("digits"), licence="not stated", republished_under="")
    monkeypatch.setattr(trained, "load", lambda name, **_: own)
    without = export_run(run_dir, repository=tmp_path / "models", settings=QUICK)
    assert load_bundle(without).examples is None
    assert "`examples.json` has" not in card_of(without)
    monkeypatch.setattr("training.export.held_out_files.why_no_map", lambda config: "it is flat")
    refused = r"nothing to add to tiny\. .* If you may publish them, add --examples\. No map: it is"
    with pytest.raises(UnsupportedOperation, match=refused):
        illustrate(without)
    asked = load_bundle(illustrate(without, with_examples=True)).examples
    assert asked is not None
    assert asked.source.endswith("Licence: not stated.")
    exported = export_run(
        run_dir, repository=tmp_path / "models", version=9, settings=QUICK, with_examples=True
    )
    assert load_bundle(exported).examples == asked


def test_illustrating_writes_the_next_version_with_the_same_weights(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    for index, name in enumerate(["ant", "bee"] * 5):
        (folder / name).mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(index).integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(picture).save(folder / name / f"{index}.png")
    assert exit_code("illustrate", str(bundle), str(folder), "--examples") == 0
    new = bundle.parent / "2"
    assert "The bundle is" in capsys.readouterr().out
    before, after = load_bundle(bundle), load_bundle(new)
    assert after.examples is not None
    assert sorted(after.examples.labels, key=str) == ["ant"] * 5 + ["bee"] * 5
    assert "10 of 10 held-out pictures of mine (all pictures)" in after.examples.source
    assert after.config == before.config.model_copy(update={"version": 2})
    for name in ("model.safetensors", "evaluation.json", "good_pictures.json"):
        assert (new / name).read_bytes() == (bundle / name).read_bytes()
    assert card_of(new).count("## Held-out pictures") == card_of(new).count("## Alarms") == 1


def test_every_known_data_set_says_whether_its_pictures_may_be_published() -> None:
    allowed = {name: entry.republished_under for name, entry in DATASETS.items()}
    assert allowed["bccd"] == allowed["fashion-mnist"] == "MIT"
    assert allowed["mnist"].startswith("CC BY-SA 3.0, (c) Yann LeCun and Corinna Cortes, as ")
    assert allowed["mnist-static"] == allowed["mnist"]
    assert {name for name, licence in allowed.items() if not licence} == {
        "cifar10",
        "cifar10-5000",
        "frey-faces",
    }
    assert not Dataset.republished_under


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("# A\n\ntext\n", "# A\n\ntext\n\n## B\n\nnew\n"),
        ("# A\n\n## B\n\nold\n", "# A\n\n## B\n\nnew\n"),
        ("# A\n\n## B\n\nold\n\n## C\n\nkept\n", "# A\n\n## B\n\nnew\n\n## C\n\nkept\n"),
    ],
)
def test_a_section_stands_once_in_its_place(card: str, expected: str) -> None:
    assert with_section(card, "## B\n\nnew\n") == expected


def test_an_export_has_a_map_whose_points_are_the_posterior_means(bundle: Path) -> None:
    loaded, digits = load_bundle(bundle), load("digits")
    found = loaded.latent_map
    assert found is not None
    assert found.label_names == digits.class_names
    assert (len(found.points), sum(found.explained)) == (300, pytest.approx(1, abs=1e-4))
    axes = np.asarray(found.axes)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-5)
    order = choose_subset(300, 300, seed=0)
    x = torch.from_numpy(digits.test.observations(loaded.config.image))[order]
    means = loaded.vae.posterior(x).mean.numpy()  # two latents: the plane is all of their space
    z = np.asarray(found.mean) + np.asarray(found.points) @ axes
    step = 2 * 10 ** -(4 - np.ceil(np.log10(np.abs(found.points).max())))
    np.testing.assert_allclose(z, means, atol=step)
    assert digits.test.labels is not None
    assert list(found.labels) == digits.test.labels[order].tolist()
    assert found.explained[0] >= found.explained[1]
    assert f"`map.json` has the posterior means of {found.source}" in card_of(bundle)


def held_out(x: np.ndarray, labels: np.ndarray | None, *names: str) -> HeldOut:
    return HeldOut(dataclasses.replace(load("digits"), class_names=names), "test", x, labels)


@pytest.mark.parametrize("latents", [2, 1000])
def test_a_map_fits_its_limit_by_fewer_points(latents: int) -> None:
    vae = VAE(RECIPE.vae.model_copy(update={"latent_shape": (latents,)})).freeze()
    x = np.random.default_rng(0).integers(0, 17, (2100, 1, 8, 8)).astype(np.float32)
    found = make_map(vae, held_out(x, np.arange(2100) % 7))
    assert len(found.model_dump_json().encode()) <= MAX_BYTES
    assert (len(found.points) == MOST_POINTS) == (latents == 2)
    assert len(found.labels) == len(found.points) > 500
    assert found.source.startswith(f"{len(found.points):,} of 2,100 ")
    assert found.label_names == tuple("0123456")


def test_a_map_of_no_classes_or_too_many_has_no_labels() -> None:
    vae, x = VAE(RECIPE.vae).freeze(), np.zeros((200, 1, 8, 8), np.float32)
    for labels in (None, np.arange(200)):
        found = make_map(vae, held_out(x, labels))
        assert found.labels == (None,) * 200
        assert found.label_names == ()
        assert set(found.points) == {(0.0, 0.0)}  # all alike


def test_what_has_neither_examples_nor_a_map_says_why() -> None:
    few = held_out(np.zeros((2, 1, 8, 8), np.float32), None)
    kept = make_held_out_files(VAE(RECIPE.vae).freeze(), RECIPE.image, few, with_examples=False)
    assert kept.files == {}
    assert kept.left_out[1] == "No map: 2 pictures are too few; it takes 3."
    assert kept.describe_on("# A\n") == "# A\n"
