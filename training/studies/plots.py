"""Figures of the rows of studies, drawn by matplotlib's Agg without a window.

The colours are those of Petroff 2021, arXiv:2107.02270, which the colour-blind can tell apart;
markers and line styles differ with them. Error bars are standard errors. matplotlib is imported
when the first figure is made.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from models.estimators.activity import ACTIVE
from models.files import write_whole
from models.images.grid import drawn
from models.images.spec import ImageSpec
from models.images.writing import to_uint8, to_unit
from training.evaluation.odd_pictures import Values
from training.fit.objectives import UNLABELLED
from training.studies.accuracy import AccuracyRow
from training.studies.bounds import BoundsRow
from training.studies.estimates import EstimateRow
from training.studies.gradients import GradientRow
from training.studies.iwae_gap import GapRow
from training.studies.latent_map import Map
from training.studies.latents import LatentRow
from training.studies.rate_distortion import RateRow
from training.studies.traversals import Traversals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES = ("-", "--", ":")
_STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "errorbar.capsize": 2.5,
    "legend.frameon": False,
}
_DPI = 110


def save(figure: "Figure", path: Path) -> None:
    """Write a PNG without date and version: the same figure gives the same bytes.

    It has 256 colours, for a third of the size, unless the figure shows pictures.
    """
    figure.set_dpi(_DPI)
    canvas: Any = figure.canvas
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if not any(axes.images for axes in figure.axes):
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True, pnginfo=drawn())
    write_whole(path, buffer.getvalue())


def _draw(
    paint: Callable[..., None], *, title: str, size: tuple[float, float], shape: tuple[int, int]
) -> "Figure":
    """Make a figure of shape = (rows, columns) axes and let `paint` fill them."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=9.5)
        axes = figure.subplots(*shape, squeeze=False)
        paint(*axes.flat)
        figure.canvas.draw()
    return figure


def _bars(axes: "Axes", x: Any, y: Any, index: int, label: str = "", **options: Any) -> None:
    """Draw points with error bars in the colour and marker of that index."""
    axes.errorbar(
        x,
        y,
        color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)],
        markersize=5,
        label=label or None,
        **{"linestyle": "none", **options},
    )


def _line(
    axes: "Axes",
    rows: Sequence[Any],
    fields: tuple[str, str, str],
    index: int,
    label: str,
    *,
    style: str,
) -> None:
    """Draw one field of rows over another, with the errors of a third."""
    x, y, error = fields
    _bars(
        axes,
        [getattr(row, x) for row in rows],
        [getattr(row, y) for row in rows],
        index,
        label,
        yerr=[getattr(row, error) for row in rows],
        linestyle=style,
    )


def bounds(rows: Sequence[BoundsRow], *, title: str) -> "Figure":
    """A line per model: its ELBO and its IWAE bound or exact log p(x)."""

    def paint(axes: "Axes") -> None:
        places = np.arange(len(rows))[::-1]
        estimators = ", ".join(sorted({row.estimator for row in rows}))
        for index, (bound, name) in enumerate({"elbo": "ELBO", "log_px": estimators}.items()):
            _bars(
                axes,
                [getattr(row, f"{bound}_nats") for row in rows],
                places + 0.12 * (1 - 2 * index),
                index,
                name,
                xerr=[getattr(row, f"{bound}_error_nats") for row in rows],
            )
        axes.set_yticks(places, [row.model for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("nats per image (higher is better)")
        axes.legend(loc="best")

    height = 1.5 + 0.32 * len(rows)
    return _draw(paint, title=title, size=(6.4, height), shape=(1, 1))


def rate_distortion(rows: Sequence[RateRow], *, title: str) -> "Figure":
    """Distortion over rate, with lines along which the ELBO is the same."""

    def paint(axes: "Axes") -> None:
        rates = np.array([row.rate_nats for row in rows])
        distortions = np.array([row.distortion_nats for row in rows])
        axes.plot(rates, distortions, color=COLOURS[8], linewidth=0.8, zorder=1)
        for index, row in enumerate(rows):
            _bars(
                axes,
                row.rate_nats,
                row.distortion_nats,
                index,
                f"{row.model}, beta = {row.beta:g}" if isfinite(row.beta) else row.model,
                xerr=row.rate_error_nats,
                yerr=row.distortion_error_nats,
            )
        axes.margins(0.12)
        low, high = axes.get_xlim()
        bottom, top = axes.get_ylim()
        for minus_elbo in _ticks(float((rates + distortions).min()), low + bottom, high + top):
            axes.plot([low, high], [minus_elbo - low, minus_elbo - high], **_FAINT)
            right = min(high, minus_elbo - bottom)
            if bottom < minus_elbo - right < top:
                axes.annotate(f"{-minus_elbo:g}", (right, minus_elbo - right), **_SMALL)
        axes.set(xlim=(low, high), ylim=(bottom, top))
        axes.set_xlabel("rate: mean KL, nats per image")
        axes.set_ylabel("distortion: mean of -E_q[log p(x|z)], nats per image")
        axes.legend(title="lines: equal ELBO, nats")

    return _draw(paint, title=title, size=(6.2, 4.4), shape=(1, 1))


_FAINT: dict[str, Any] = {"color": "0.75", "linewidth": 0.7, "linestyle": "--", "zorder": 0}
_SMALL: dict[str, Any] = {"fontsize": 7, "color": "0.4", "ha": "right", "va": "bottom"}


def _ticks(near: float, low: float, high: float) -> list[float]:
    """About six round numbers over the range, one of them next to `near`."""
    step = 10 ** np.floor(np.log10((high - low) / 5))
    step *= min((1, 2, 5, 10), key=lambda factor: abs((high - low) / (factor * step) - 6))
    first = np.floor(near / step) * step
    count = int((high - low) / step) + 2
    return [float(first + step * i) for i in range(-count, count) if low < first + step * i < high]


def latents(rows: Sequence[LatentRow], *, title: str) -> "Figure":
    """KL of each dimension or group, and activity of each dimension, in the rows' order."""
    dimensions = [row for row in rows if row.part.startswith("dimension")]
    with_kl = [row for row in rows if isfinite(row.kl_nats)]

    def paint(*axes: "Axes") -> None:
        if with_kl:
            _columns(axes[0], with_kl, "kl_nats", "kl_error_nats", 0)
            axes[0].set_ylabel("KL, nats per image")
        _columns(axes[-1], dimensions, "activity", "activity_error", 1)
        axes[-1].axhline(ACTIVE, color="0.3", linestyle="--", linewidth=0.9)
        axes[-1].annotate(f"active above {ACTIVE:g}", (0, ACTIVE), fontsize=7, va="bottom")
        axes[-1].set_yscale("log")
        axes[-1].set_ylabel("activity: variance of E_q[z] over the images")

    panels = 2 if with_kl else 1
    return _draw(paint, title=title, size=(3.4 * panels + 0.4, 3.6), shape=(1, panels))


def _columns(
    axes: "Axes", rows: Sequence[LatentRow], field: str, error_field: str, index: int
) -> None:
    places = np.arange(len(rows))
    values = np.array([getattr(row, field) for row in rows])
    errors = np.array([getattr(row, error_field) for row in rows])
    axes.bar(places, values, yerr=errors, color=COLOURS[index], error_kw={"linewidth": 0.9})
    kind = rows[0].part.split()[0]
    every = -(-len(rows) // 12)
    axes.set_xticks(places[::every], [row.part.split()[1] for row in rows][::every])
    axes.set_xlabel("latent dimension" if kind == "dimension" else "group of latents, 1 next to x")


def latent_map(found: Map, *, class_names: Sequence[str], title: str) -> "Figure":
    """A point per image, coloured and marked by its label."""

    def paint(axes: "Axes") -> None:
        points = np.array([(row.first, row.second) for row in found.rows])
        labels = np.array([row.label for row in found.rows])
        for index, label in enumerate(np.unique(labels)):
            chosen = points[labels == label]
            name = class_names[label] if 0 <= label < len(class_names) else str(label)
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=14,
                linewidths=0,
                alpha=0.85,
                color=COLOURS[index % len(COLOURS)],
                marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
                label="unlabelled" if label == UNLABELLED else name,
            )
        axes.set_aspect("equal", "datalim")
        axes.set_xlabel(found.axes[0])
        axes.set_ylabel(found.axes[1])
        axes.legend(title="label", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)

    return _draw(paint, title=title, size=(6.2, 4.8), shape=(1, 1))


def traversals(found: Traversals, *, spec: ImageSpec, title: str) -> "Figure":
    """A row of pictures per dimension, the most active first."""
    flat = found.pictures.flatten(0, 1)
    shown = to_uint8(to_unit(flat, spec)).transpose(0, 2, 3, 1)
    num_rows, num_steps = len(found.rows), len(found.steps)

    def paint(axes: "Axes") -> None:
        height, width = shown.shape[1:3]
        sheet = shown.reshape(num_rows, num_steps, *shown.shape[1:])
        picture = sheet.transpose(0, 2, 1, 3, 4).reshape(num_rows * height, num_steps * width, -1)
        grey = picture.shape[-1] == 1
        axes.imshow(
            picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=255, aspect="equal"
        )
        for edge in range(1, num_rows):
            axes.axhline(edge * height - 0.5, color="white", linewidth=1.5)
        for edge in range(1, num_steps):
            axes.axvline(edge * width - 0.5, color="white", linewidth=1.5)
        axes.set_xticks((np.arange(num_steps) + 0.5) * width - 0.5, [f"{s:g}" for s in found.steps])
        names = [f"{row.dimension} ({row.activity:.2g})" for row in found.rows]
        axes.set_yticks((np.arange(num_rows) + 0.5) * height - 0.5, names)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set_xlabel(f"prior standard deviations from {found.centre}")
        axes.set_ylabel("dimension (activity)")

    ratio = spec.height * num_rows / (spec.width * num_steps)
    return _draw(paint, title=title, size=(5.2, 0.95 + 4.2 * ratio), shape=(1, 1))


def gradient_variance(rows: Sequence[GradientRow], *, title: str) -> "Figure":
    """Variance above, signal-to-noise below; the ELBO's estimators left, the IWAE bound's right."""
    # Zero has no place on a logarithmic axis.
    shown = [replace(row, signal_to_noise=row.signal_to_noise or nan) for row in rows]

    def paint(*axes: "Axes") -> None:
        for column, bound in enumerate(("ELBO", "IWAE")):
            own = [row for row in shown if row.bound == bound]
            for index, name in enumerate(dict.fromkeys(row.estimator for row in own)):
                line = [row for row in own if row.estimator == name]
                for row, field in enumerate(("variance", "signal_to_noise")):
                    _line(
                        axes[2 * row + column],
                        line,
                        ("num_samples", field, f"{field}_error"),
                        index + 3 * column,
                        name,
                        style=LINES[index],
                    )
            axes[column].set_title(f"{bound}'s encoder gradient")
            axes[column].legend(fontsize=7.5)
            axes[2 + column].set_xlabel(f"draws per image, {'S' if bound == 'ELBO' else 'K'}")
        for panel in axes:
            panel.set_yscale("log")
            _tick_samples(panel, rows)
        axes[0].set_ylabel("variance, summed over weights")
        axes[2].set_ylabel("signal-to-noise ratio")

    return _draw(paint, title=title, size=(6.6, 5.2), shape=(2, 2))


def _tick_samples(axes: "Axes", rows: Sequence[GradientRow] | Sequence[GapRow]) -> None:
    """Put the numbers of samples on a logarithmic axis."""
    ticks = sorted({row.num_samples for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])


def iwae_gap(rows: Sequence[GapRow], *, title: str) -> "Figure":
    """Bounds over the K of training; a line per gradient."""

    def paint(left: "Axes", right: "Axes") -> None:
        for index, (name, line) in enumerate(_by_gradient(rows).items()):
            labels = {"elbo": "ELBO", "log_px": line[0].estimator}
            for which, (bound, label) in enumerate(labels.items()):
                _line(
                    left,
                    line,
                    ("num_samples", f"{bound}_nats", f"{bound}_error_nats"),
                    2 * index + which,
                    f"{label}, {name} gradient",
                    style=LINES[which],
                )
            fields = ("num_samples", "gap_nats", "gap_error_nats")
            _line(right, line, fields, 2 * index, name, style="-")
        for panel in (left, right):
            _tick_samples(panel, rows)
            panel.set_xlabel("K of training (1: the ELBO)")
        left.set_ylabel("nats per image (higher is better)")
        right.set_ylabel("bound less ELBO, nats per image")
        left.legend(fontsize=7.5)

    return _draw(paint, title=title, size=(7.0, 3.8), shape=(1, 2))


def _by_gradient(rows: Sequence[GapRow]) -> dict[str, list[GapRow]]:
    """A line for each gradient of the IWAE bound; every line begins with the ELBO's runs."""
    start = [row for row in rows if row.gradient == "elbo"]
    names = list(dict.fromkeys(row.gradient for row in rows if row.gradient != "elbo"))
    if not names:
        return {"plain": start}
    return {name: [*start, *(row for row in rows if row.gradient == name)] for name in names}


def _shares(axes: "Axes", rows: Sequence[AccuracyRow], name: str, index: int, label: str) -> None:
    """Draw shares of right labels with their intervals over the number of known labels."""
    value = name if name == "accuracy" else f"{name}_accuracy"
    fields = (value, f"{name}_low_share", f"{name}_high_share")
    share, low, high = (100 * np.array([getattr(row, field) for row in rows]) for field in fields)
    x, error = [row.num_labels for row in rows], np.stack([share - low, high - share])
    # An end of the interval may differ from the share in its last bit, to the wrong side.
    _bars(axes, x, share, index, label, yerr=error.clip(0), linestyle=LINES[index])


def label_accuracy(rows: Sequence[AccuracyRow], *, title: str) -> "Figure":
    """Accuracy over the number of known labels, beside that of logistic regression."""

    def paint(axes: "Axes") -> None:
        names = {"accuracy": "this model", "regression": "logistic regression, same labels"}
        for index, (share, name) in enumerate(names.items()):
            _shares(axes, rows, share, index, name)
        ticks = sorted({row.num_labels for row in rows})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("training images whose label is known")
        axes.set_ylabel("right on the test images, %")
        axes.legend()

    return _draw(paint, title=title, size=(5.6, 3.8), shape=(1, 1))


def estimates(rows: Sequence[EstimateRow], *, title: str) -> "Figure":
    """A panel for each image: every estimate over K, with its bounds; annealing as a level."""
    images = sorted({row.image for row in rows})
    ways = ("prior", "encoder", "refined")

    def paint(*panels: "Axes") -> None:
        for axes, image in zip(panels, images, strict=True):
            own = [row for row in rows if row.image == image]
            for index, way in enumerate(ways):
                _estimate_line(axes, [row for row in own if row.way == way], index)
            (annealed,) = (row for row in own if row.way == "annealed")
            value, error = annealed.estimate_nats, annealed.estimate_error_nats
            axes.axhline(value, color=COLOURS[4], label="annealed")
            axes.axhspan(value - 2 * error, value + 2 * error, color=COLOURS[4], alpha=0.2)
            shown = [row.estimate_nats for row in own if row.way in ("encoder", "refined")]
            shown += [row.lower_bound_nats for row in own if row.way == "refined"]
            low, high = min(shown), max(*shown, value)
            axes.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
            axes.set_xscale("log")
            axes.set_xlabel("draws, K")
            axes.set_title(f"image {image}")
        panels[0].set_ylabel("nats")
        panels[0].legend(fontsize=7, loc="lower right")

    size = (2.9 * len(images) + 0.6, 3.6)
    return _draw(paint, title=title, size=size, shape=(1, len(images)))


def _estimate_line(axes: "Axes", rows: Sequence[EstimateRow], index: int) -> None:
    """An estimate with its error; below it dashed the lower bound, shaded the expected bound's."""
    fields = ("num_samples", "estimate_nats", "estimate_error_nats")
    _line(axes, rows, fields, index, rows[0].way, style="-")
    count = [row.num_samples for row in rows]
    colour = COLOURS[index % len(COLOURS)]
    lower = [row.lower_bound_nats for row in rows]
    axes.plot(count, lower, color=colour, linestyle="--", linewidth=0.9)
    low, high = [row.bound_low_nats for row in rows], [row.bound_high_nats for row in rows]
    axes.fill_between(count, low, high, color=colour, alpha=0.15, linewidth=0)


def roc_curves(scores: Mapping[str, Mapping[str, Values]], *, good: str, title: str) -> "Figure":
    """A panel for each odd set, and in it a curve for each anomaly score.

    Args:
        scores: Scores of each set by name, as `measure_detection` returns them.
        good: Name of the good set.
        title: Title of the figure.
    """
    odd = [name for name in scores if name != good]

    def paint(*panels: "Axes") -> None:
        for axes, name in zip(panels, odd, strict=True):
            for index, (kind, values) in enumerate(scores[name].items()):
                bounds = np.unique(np.concatenate([values, scores[good][kind]]))[::-1]
                false, found = (
                    1 - np.searchsorted(np.sort(one), bounds, side="left") / len(one)
                    for one in (scores[good][kind], values)
                )
                axes.step(
                    [0, *false],
                    [0, *found],
                    where="post",
                    color=COLOURS[index % len(COLOURS)],
                    linewidth=2.0 if index == 0 else 1.0,
                    label=kind.replace("_", " "),
                )
            axes.set(title=name, xlabel="false alarms", ylabel="found", xlim=(0, 1), ylim=(0, 1.01))
        panels[-1].legend(fontsize=7.5)

    return _draw(paint, title=title, size=(4.2 * len(odd), 3.8), shape=(1, len(odd)))
