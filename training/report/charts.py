"""Charts of a report as SVG that stands in a page: its colours are the page's, light or dark.

Drawn by matplotlib without a window; it is imported when the first chart is made. Text stays text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FIRST, SECOND = "#010203", "#010204", "#010205"
"""Stand-ins for the page's colours: of text and axes, of the first line, and of the second."""
_CSS = {INK: "currentColor", FIRST: "var(--first)", SECOND: "var(--second)"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}
_SIZE = (4.4, 2.6)
_FEW = 12
"""Points up to which each one has a mark."""
_START = 0.1
"""Share of the validations whose fall or rise from the start may leave the frame."""


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    x: Sequence[int]
    y: Sequence[float]
    errors: Sequence[float] = field(default=())
    """Standard errors of y; a band of twice these is drawn about the line."""


def draw_lines(lines: Sequence[Line], *, x_label: str, y_label: str, about: str) -> str:
    """A chart of one or two lines; `about` is what a screen reader says."""

    from matplotlib.ticker import MaxNLocator

    def paint(axes: "Axes") -> None:
        for line, colour, style in zip(lines, (FIRST, SECOND), ("-", "--"), strict=False):
            mark = "o" if len(line.x) <= _FEW else None
            axes.plot(
                line.x, line.y, style, color=colour, marker=mark, markersize=3.5, label=line.name
            )
            if line.errors:
                low, high = (np.add(line.y, side * np.array(line.errors)) for side in (-2, 2))
                axes.fill_between(line.x, low, high, color=colour, alpha=0.2, linewidth=0)
        if (frame := find_frame(lines)) is not None:
            axes.set_ylim(*frame)
        if len(lines) > 1:
            axes.legend(loc="best")
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True))

    return _draw(paint, about)


def find_frame(lines: Sequence[Line]) -> tuple[float, float] | None:
    """The range of y that shows what follows the start of the run; None if that shows everything.

    The first epochs differ from the last ones by so much that the rest would be a flat line.
    """
    late = [
        value
        for line in lines
        for value in line.y[int(np.ceil(_START * len(line.y))) if len(line.y) > _FEW else 0 :]
    ]
    every = [value for line in lines for value in line.y]
    if not late:
        return None
    low, high = min(late), max(late)
    room = 0.08 * (high - low)
    if room == 0 or (min(every) >= low - 4 * room and max(every) <= high + 4 * room):
        return None
    return low - room, high + room


def draw_bars(heights: Sequence[float], *, x_label: str, y_label: str, about: str) -> str:
    """A bar chart without gaps for its many bars, in the order given."""

    from matplotlib.ticker import MaxNLocator

    def paint(axes: "Axes") -> None:
        axes.bar(np.arange(1, len(heights) + 1), heights, width=0.85, color=FIRST)
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0.3, len(heights) + 0.7))
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True))

    return _draw(paint, about)


def _draw(paint: Callable[["Axes"], None], about: str) -> str:
    """The SVG that `paint` draws on empty axes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": about}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        paint(axes)
        buffer = StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _as_part_of_a_page(buffer.getvalue(), about)


def _as_part_of_a_page(svg: str, about: str) -> str:
    """Only the picture, in the page's colours and font, without what would affect other charts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    for stand_in, colour in _CSS.items():
        svg = svg.replace(stand_in, colour)
    size = re.search(r'viewBox="[^"]*"', svg)
    assert size is not None
    head = f'<svg {size[0]} role="img" aria-label="{escape(about)}">'
    return head + svg[svg.index(">") + 1 :]
