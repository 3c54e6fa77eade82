"""Figures say what they show: titles, axes with units, legends, errors; pixels are not compared."""

import io
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from models.images import is_drawn
from models.images.spec import ImageSpec
from training.studies import plots
from training.studies.accuracy import AccuracyRow
from training.studies.bounds import BoundsRow
from training.studies.estimates import EstimateRow
from training.studies.gradients import GradientRow
from training.studies.iwae_gap import GapRow
from training.studies.latent_map import Map, MapRow
from training.studies.latents import LatentRow
from training.studies.rate_distortion import RateRow
from training.studies.traversals import TraversalRow, Traversals

pytestmark = pytest.mark.slow

BOUNDS = [
    BoundsRow("a", 9, -85.0, 0.7, "IWAE, K = 100", -83.0, 0.6, *[0.0] * 6),
    BoundsRow("b", 9, -88.0, 0.8, "IWAE, K = 100", -84.0, 0.6, -3.0, -3.5, -2.5, -1.0, -1.2, -0.8),
]
RATES = [
    RateRow("b4", 4.0, 9, 4.0, 0.1, 86.0, 0.7, -90.0, 0.7),
    RateRow("plain", 1.0, 9, 10.0, 0.1, 76.0, 0.7, -86.0, 0.7),
    RateRow("iwae", nan, 9, 11.0, 0.1, 76.0, 0.7, -87.0, 0.7),
]
LATENTS = [
    LatentRow("dimension 3", 2.0, 0.1, 0.9, 0.1),
    LatentRow("dimension 0", 0.01, 0.001, 0.002, 0.0001),
]
GROUPS = [
    LatentRow("dimension 0", nan, nan, 0.9, 0.1),
    LatentRow("dimension 1", nan, nan, 0.4, 0.1),
    LatentRow("group 1", 3.0, 0.1, nan, nan),
    LatentRow("group 2", 1.0, 0.1, nan, nan),
]
GAPS = [
    GapRow("one", 1, "elbo", 9, -86.0, 0.7, "IWAE, K = 100", -84.0, 0.6, 2.0, 0.1, 8),
    GapRow("five", 5, "plain", 9, -86.5, 0.7, "IWAE, K = 100", -83.0, 0.6, 3.5, 0.1, 8),
    GapRow("dreg", 5, "dreg", 9, -86.4, 0.7, "IWAE, K = 100", -83.1, 0.6, 3.3, 0.1, 8),
]
GRADIENTS = [
    GradientRow(bound, name, count, 100, 5.0 / count, 0.5, ratio, 0.1)
    for bound, name, ratio in (
        ("ELBO", "reparameterised", 2.0),
        ("ELBO", "score function", 0.0),
        ("IWAE", "plain", 1.0),
        ("IWAE", "dreg", 1.5),
    )
    for count in (1, 4)
]
ACCURACIES = [
    AccuracyRow("m2-1", 10, 1, 300, 0.7, 0.65, 0.75, 0.6, 0.54, 0.65),
    AccuracyRow("m2-all", 1197, 1, 300, 1.0, 0.98, 1.0, 0.95, 0.92, 0.97),
]
ESTIMATES = [
    EstimateRow(image, way, count, level - 9 / count, 0.1, level - 1, level - 2, level - 0.5)
    for image, level in enumerate((-80.0, -90.0))
    for way in ("prior", "encoder", "refined")
    for count in (10, 100)
] + [EstimateRow(i, "annealed", 16, -80.0 - 10 * i, 0.05, nan, nan, nan) for i in range(2)]
MAP = Map(
    [MapRow(i, i % 12, float(i), float(-i)) for i in range(24)], ("E[z_0 | x]", "E[z_1 | x]"), "pca"
)
SPEC = ImageSpec(channels=1, height=4, width=3, levels=5)
COLOUR = ImageSpec(channels=3, height=4, width=3, levels=5)


def walk(channels: int) -> Traversals:
    """Two dimensions, three steps, each picture of one level."""
    levels = torch.tensor([[0.0, 2.0, 4.0], [4.0, 2.0, 0.0]])
    pictures = levels[:, :, None, None, None].expand(2, 3, channels, 4, 3)
    rows = [TraversalRow(5, 1.2, 1.0, 0.5), TraversalRow(2, 0.3, 1.0, 0.5)]
    return Traversals(rows, (-3.0, 0.0, 3.0), pictures, "test image 0")


FIGURES: dict[str, tuple[Callable[..., Figure], list[str]]] = {
    "estimates": (
        lambda: plots.estimates(ESTIMATES, title="T"),
        ["nats", "draws, K", "image 0", "image 1", "prior", "encoder", "refined", "annealed"],
    ),
    "bounds": (lambda: plots.bounds(BOUNDS, title="T"), ["nats per image"]),
    "rate-distortion": (
        lambda: plots.rate_distortion(RATES, title="T"),
        ["rate: mean KL, nats per image", "distortion", "beta = 4", "iwae", "equal ELBO"],
    ),
    "latents": (
        lambda: plots.latents(LATENTS, title="T"),
        ["KL, nats per image", "activity: variance of E_q[z]", "active above 0.01"],
    ),
    "groups": (
        lambda: plots.latents(GROUPS, title="T"),
        ["group of latents, 1 next to x", "latent dimension"],
    ),
    "latent-map": (
        lambda: plots.latent_map(MAP, class_names=("zero", "one"), title="T"),
        ["E[z_0 | x]", "E[z_1 | x]", "zero", "one", "label"],
    ),
    "traversals": (
        lambda: plots.traversals(walk(1), spec=SPEC, title="T"),
        ["prior standard deviations from test image 0", "dimension (activity)", "5 (1.2)"],
    ),
    "gradient-variance": (
        lambda: plots.gradient_variance(GRADIENTS, title="T"),
        ["draws per image, S", "draws per image, K", "signal-to-noise ratio", "dreg", "variance"],
    ),
    "iwae-gap": (
        lambda: plots.iwae_gap(GAPS, title="T"),
        ["K of training", "bound less ELBO, nats per image", "dreg"],
    ),
    "label-accuracy": (
        lambda: plots.label_accuracy(ACCURACIES, title="T"),
        ["right on the test images, %", "known", "logistic regression", "1,197"],
    ),
}


def words_of(figure: Figure) -> str:
    """Every text of a figure."""
    texts = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in texts)  # type: ignore[attr-defined]


def png_of(figure: Figure, folder: Path) -> bytes:
    path = folder / "figure.png"
    plots.save(figure, path)
    return path.read_bytes()


def test_a_figure_says_that_it_was_drawn_so_that_it_is_no_datum(tmp_path: Path) -> None:
    make, _ = next(iter(FIGURES.values()))
    assert is_drawn(png_of(make(), tmp_path))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_names_its_axes_units_and_title(name: str, tmp_path: Path) -> None:
    make, said = FIGURES[name]
    figure = make()
    words = words_of(figure)
    for word in (*said, "T"):
        assert word in words
    for axes in figure.axes:
        assert axes.get_ylabel() or name in ("bounds", "gradient-variance", "estimates")
    picture = np.asarray(Image.open(io.BytesIO(png_of(figure, tmp_path))).convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_the_same_figure_is_the_same_small_file(tmp_path: Path) -> None:
    first, second = (png_of(plots.bounds(BOUNDS, title="T"), tmp_path) for _ in range(2))
    assert first == second
    assert len(first) < 60 * 1024


def test_points_and_errors_are_those_of_the_rows() -> None:
    (axes,) = plots.bounds(BOUNDS, title="T").axes
    elbo, log_px = axes.containers
    assert elbo.lines[0].get_xdata().tolist() == [-85.0, -88.0]
    segments = elbo.lines[2][0].get_segments()
    assert segments[0][:, 0].tolist() == pytest.approx([-85.7, -84.3])
    assert log_px.lines[0].get_xdata().tolist() == [-83.0, -84.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_along_a_faint_line_the_elbo_is_the_same() -> None:
    (axes,) = plots.rate_distortion(RATES, title="T").axes
    faint = [line for line in axes.lines if line.get_linestyle() == "--"]
    sums = [set(np.round(np.add(*line.get_data()), 6)) for line in faint]
    assert len(sums) >= 3
    assert all(len(found) == 1 for found in sums)
    labels = {float(text.get_text()) for text in axes.texts}
    assert labels <= {-found.pop() for found in sums}


def test_without_a_kl_per_dimension_only_the_activity_is_drawn() -> None:
    assert len(plots.latents(LATENTS, title="T").axes) == 2
    alone = [LatentRow("dimension 0", nan, nan, 0.9, 0.1)]
    assert len(plots.latents(alone, title="T").axes) == 1


@pytest.mark.parametrize(("channels", "spec"), [(1, SPEC), (3, COLOUR)])
def test_traversals_lie_in_rows_by_dimension_and_columns_by_step(
    channels: int, spec: ImageSpec
) -> None:
    (axes,) = plots.traversals(walk(channels), spec=spec, title="T").axes
    sheet = np.asarray(axes.images[0].get_array())
    assert sheet.shape[:2] == (8, 9)
    expected = np.array([[0, 128, 255], [255, 128, 0]])
    assert (sheet[::4, ::3].reshape(2, 3, -1) == expected[..., None]).all()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["-3", "0", "3"]


def test_every_class_has_a_colour_and_a_marker_of_its_own() -> None:
    (axes,) = plots.latent_map(MAP, class_names=(), title="T").axes
    looks = {
        (tuple(found.get_facecolor()[0]), found.get_paths()[0].vertices.tobytes())
        for found in axes.collections
    }
    assert len(looks) == 12
    legend: Any = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [str(i) for i in range(12)]


def test_unlabelled_images_say_so() -> None:
    found = Map([MapRow(0, -1, 0.0, 1.0), MapRow(1, -1, 2.0, 1.0)], ("a", "b"), "")
    assert "unlabelled" in words_of(plots.latent_map(found, class_names=("zero",), title="T"))


def test_no_signal_leaves_a_gap_and_no_zero_on_the_logarithmic_axis() -> None:
    axes = plots.gradient_variance(GRADIENTS, title="T").axes
    assert all(panel.get_yscale() == "log" for panel in axes)
    score = axes[2].containers[1]
    assert np.isnan(np.asarray(score.lines[0].get_ydata(), float)).all()


def test_each_gradient_has_a_line_from_the_elbo_on() -> None:
    left, right = plots.iwae_gap(GAPS, title="T").axes
    assert [line.lines[0].get_xdata().tolist() for line in right.containers] == [[1, 5], [1, 5]]
    assert len(left.containers) == 4
    (alone,) = plots.iwae_gap(GAPS[:1], title="T").axes[1].containers
    assert alone.lines[0].get_ydata().tolist() == [2.0]


def test_colours_differ_in_lightness_or_hue_for_each_kind_of_colour_blindness() -> None:
    # Linear simulations of Machado et al. 2009 at full severity, with distances in RGB.
    simulations = {
        "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    colours = np.array([to_rgb(colour) for colour in plots.COLOURS[:4]])
    for matrix in simulations.values():
        seen = colours @ np.array(matrix).T
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert apart[~np.eye(4, dtype=bool)].min() > 0.15
