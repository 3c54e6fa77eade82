"""Charts are parts of a page: valid XML, in the page's colours, framed about what matters."""

import re
from xml.etree import ElementTree

import pytest

from training.report.charts import Line, draw_bars, draw_lines, find_frame

EPOCHS = list(range(1, 31))


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    return ["".join(element.itertext()) for element in root.iter() if element.tag == "text"]


def test_a_chart_says_its_quantities_as_text_and_to_screen_readers() -> None:
    line = Line("validation", EPOCHS, [-1.0 / e for e in EPOCHS], [0.1] * 30)
    other = Line("training", EPOCHS, [-2.0 / e for e in EPOCHS])
    svg = draw_lines([line, other], x_label="epoch", y_label="nats per image", about='a "b" <c>')
    assert {"epoch", "nats per image", "validation", "training"} <= set(texts(svg))
    assert ElementTree.fromstring(svg.replace("xlink:", "")).get("aria-label") == 'a "b" <c>'


def test_a_chart_has_the_pages_colours_and_nothing_of_its_own_around() -> None:
    bars = draw_bars([3.0, 2.0, 0.0], x_label="latent", y_label="nats", about="bars")
    line = draw_lines([Line("a", [1, 2], [1.0, 2.0])], x_label="x", y_label="y", about="line")
    for svg in (bars, line):
        assert "currentColor" in svg
        assert "var(--first)" in svg
        assert not re.search(r"#0102|<style|<metadata|http", svg)
        assert "font-family: inherit" in svg


def test_the_ids_of_two_charts_differ() -> None:
    line = Line("a", EPOCHS, [float(e) for e in EPOCHS])
    charts = [draw_lines([line], x_label="x", y_label="y", about=about) for about in ("1", "2")]
    first, second = (set(re.findall(r'id="([^"]*)"', svg)) for svg in charts)
    assert first
    assert not first & second


def test_the_same_numbers_give_the_same_chart() -> None:
    first, second = (draw_bars([1.0], x_label="x", y_label="y", about="a") for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("values", "frame"),
    [
        ([-1000.0, -500.0, -300.0, *[-90.0 - i for i in range(27)]], (-118.08, -87.92)),
        ([float(i) for i in range(30)], None),
        ([-1000.0, -90.0, -80.0], None),
        ([-1000.0, *[-5.0] * 29], None),
        ([], None),
    ],
    ids=["a fall at the start", "even", "few points", "constant after", "none"],
)
def test_the_frame_leaves_out_a_start_that_would_flatten_the_rest(
    values: list[float], frame: tuple[float, float] | None
) -> None:
    found = find_frame([Line("a", list(range(len(values))), values)])
    assert found == (frame if frame is None else pytest.approx(frame))
