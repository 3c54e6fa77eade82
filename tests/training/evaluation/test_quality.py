"""Reconstructions and embeddings beside principal components, against scikit-learn's own."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from models.images.spec import ImageSpec
from models.vae.model import VAE
from tests.models.family_cases import FAMILIES, family
from tests.training.evaluation.test_baselines import BINARY, COLOUR, split_of
from tests.training.fit.test_classical import model
from training.data.array_split import ArraySplit
from training.data.datasets import load
from training.evaluation import image_rows
from training.evaluation.components import Components, fit_components
from training.evaluation.embeddings import can_probe, probe
from training.evaluation.image_rows import ImageRows, read_rows
from training.evaluation.quality import Quality, measure_quality
from training.fit.classical import fit_pca

UNIT = ImageSpec(channels=1, height=8, width=8, values="unit")


def labelled(count: int, *, seed: int) -> ArraySplit:
    """Pictures of 4 x 4 binary pixels whose upper half is darker under label 1."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    chance = np.full((count, 4, 4), 0.5)
    chance[labels == 1, :2], chance[labels == 2, 2:] = 0.1, 0.9
    images = (generator.random((count, 4, 4)) < chance).astype(np.uint8)
    return ArraySplit(images, levels=2, labels=labels)


SPEC = ImageSpec(channels=1, height=4, width=4, levels=2, binarization="threshold")


def measured(vae: VAE, train: ArraySplit, test: ArraySplit, spec: ImageSpec) -> Quality:
    x = torch.from_numpy(test.observations(spec))
    labels = None if test.labels is None else torch.from_numpy(test.labels)
    return measure_quality(vae, x, labels, train=train, spec=spec)


def test_the_model_pca_reconstructs_as_well_as_the_baseline_pca() -> None:
    dataset = load("digits")
    rows = dataset.train.observations(UNIT).reshape(len(dataset.train), -1)
    vae = model("pca", latents=6)
    fit_pca(vae, rows.astype(np.float64), seed=0)
    x = torch.from_numpy(dataset.test.observations(UNIT))
    found = measure_quality(vae, x, None, train=dataset.train, spec=UNIT)
    own, baseline = found["reconstructions"]
    assert (own.kind, own.n, own.num_components) == ("model", 300, None)
    assert (baseline.kind, baseline.num_components) == ("pca", 6)
    assert baseline.num_train == len(dataset.train)
    for name in ("mean_squared_error", "standard_error", "ssim", "standard_error_ssim"):
        assert getattr(own, name) == pytest.approx(getattr(baseline, name), rel=1e-5)
    fitted = PCA(6).fit(rows.astype(np.float64))
    flat = x.flatten(1).double().numpy()
    errors = flat - np.clip(fitted.inverse_transform(fitted.transform(flat)), 0, 1)
    per_image = (errors**2).mean(1)
    assert baseline.mean_squared_error == pytest.approx(per_image.mean(), rel=1e-5)
    assert baseline.standard_error == pytest.approx(per_image.std(ddof=1) / 300**0.5, rel=1e-5)
    assert found["embeddings"] == ()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_reconstructions_and_embeddings(name: str) -> None:
    torch.manual_seed(0)
    vae = VAE(family(name)).freeze()
    found = measured(vae, labelled(60, seed=0), labelled(30, seed=1), SPEC)
    assert [r.kind for r in found["reconstructions"]] == ["model", "pca"]
    assert found["reconstructions"][1].num_components == vae.num_latents
    assert [(e.kind, e.num_features) for e in found["embeddings"]] == [
        ("posterior_mean", vae.num_latents),
        ("pca", vae.num_latents),
        ("pixels", 16),
    ]
    assert {(e.num_train, e.n) for e in found["embeddings"]} == {(60, 30)}


@pytest.mark.parametrize("spec", [COLOUR, BINARY], ids=["colour", "binary"])
def test_observations_of_every_kind_are_compared_on_the_unit_scale(spec: ImageSpec) -> None:
    likelihood = (
        {"kind": "bernoulli"}
        if spec.levels == 2
        else {"kind": "discretized_logistic", "levels": spec.levels}
    )
    shape = (spec.channels, spec.height, spec.width)
    vae = VAE(family("standard", image_shape=shape, likelihood=likelihood)).freeze()
    own, pca = measured(vae, split_of(spec, 40), split_of(spec, 9, seed=1), spec)["reconstructions"]
    assert 0 < pca.mean_squared_error < own.mean_squared_error < 1


def test_no_labels_give_no_embeddings_and_a_single_picture_no_components() -> None:
    vae = VAE(family("standard")).freeze()
    train, test = labelled(20, seed=0), labelled(8, seed=1)
    assert measured(vae, ArraySplit(train.images, levels=2), test, SPEC)["embeddings"] == ()
    assert measured(vae, train, ArraySplit(test.images, levels=2), SPEC)["embeddings"] == ()
    alone = measured(vae, train.take(np.arange(1)), test, SPEC)
    assert [r.kind for r in alone["reconstructions"]] == ["model"]
    assert alone["embeddings"] == ()


def test_a_probe_needs_two_labels_and_as_many_pictures_as_neighbours() -> None:
    assert can_probe(np.array([0, 0, 0, 0, 1]))
    assert not can_probe(np.array([0, 0, 0, 1]))
    assert not can_probe(np.zeros(9, np.int64))


@pytest.mark.parametrize("count", [40, 300], ids=["fewer images than features", "more"])
def test_probes_find_as_many_labels_as_scikit_learn_alone(count: int) -> None:
    generator = np.random.default_rng(3)
    train, test = generator.integers(0, 4, count), generator.integers(0, 4, 500)
    means = 0.5 * generator.normal(size=(4, 60))

    def features(labels: np.ndarray) -> np.ndarray:
        rows = means[labels] + generator.normal(size=(len(labels), 60))
        rows[:, 0] = 0.1  # does not vary
        return (rows * np.linspace(0.1, 5, 60)).astype(np.float32)

    known, unseen = features(train), features(test)
    (found,) = probe({"pixels": (known, unseen)}, train=train, test=test)
    scaler = StandardScaler().fit(known.astype(np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        direct = LogisticRegression(max_iter=5_000, tol=1e-6).fit(scaler.transform(known), train)
    assert found.linear_accuracy == pytest.approx(
        direct.score(scaler.transform(unseen), test), abs=0.0041
    )
    neighbours = KNeighborsClassifier(5).fit(known, train)
    assert found.neighbours_accuracy == neighbours.score(unseen, test)
    assert (found.num_features, found.num_train, found.n) == (60, count, 500)
    assert found.linear_accuracy > 0.5


def test_components_of_large_pictures_span_nearly_the_best_plane() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 5)) @ generator.normal(size=(5, 1_200))
    rows = (rows + 0.1 * generator.normal(size=rows.shape)).astype(np.float32)
    found = fit_components(rows, 5)
    exact = PCA(5, svd_solver="full").fit(rows.astype(np.float64))

    def error(components: Components) -> float:
        return float(((rows - components.decode(components.encode(rows))) ** 2).mean())

    mean, axes = (part.astype(np.float32) for part in (exact.mean_, exact.components_))
    best = Components(mean, axes, 80)
    assert error(found) == pytest.approx(error(best), rel=1e-4)


@pytest.mark.parametrize(("rows", "pixels", "count"), [(4, 9, 3), (50, 9, 9), (50, 2_000, 20)])
def test_there_are_no_more_components_than_images_and_numbers_allow(
    rows: int, pixels: int, count: int
) -> None:
    x = np.random.default_rng(0).random((rows, pixels), np.float32)
    assert fit_components(x, 20).axes.shape == (count, pixels)


def test_pictures_that_do_not_vary_have_components() -> None:
    found = fit_components(np.full((6, 4), 0.5, np.float32), 2)
    assert np.array_equal(found.decode(found.encode(found.mean[None])), found.mean[None])


def test_rows_are_a_seeded_subset_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    train = labelled(50, seed=0)
    whole = read_rows(train, SPEC)
    assert np.array_equal(whole.x, train.observations(SPEC))
    monkeypatch.setattr(image_rows, "MAX_NUMBERS", 16 * 20)
    monkeypatch.setattr(image_rows, "_CHUNK", 7)
    some = read_rows(train, SPEC)
    assert some.x.shape == (20, 1, 4, 4)
    assert some.labels is not None
    chosen = [np.flatnonzero((whole.x == row).all((1, 2, 3))) for row in some.x]
    assert all(
        label in train.labels[at]  # type: ignore[index]
        for label, at in zip(some.labels, chosen, strict=True)
    )
    assert np.array_equal(read_rows(train, SPEC).x, some.x)
    fewer = some.choose(8)
    assert fewer.labels is not None
    assert (len(fewer.x), len(fewer.labels)) == (8, 8)
    assert some.choose(20) is some
    assert ImageRows(some.x, None).choose(3).labels is None
