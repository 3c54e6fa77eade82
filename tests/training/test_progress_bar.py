"""Progress fits the window, and goes to a file as plain lines."""

import re
import time
from io import StringIO

import pytest
from rich.console import Console

from training import progress_bar
from training.fit.progress import Bar, Window
from training.progress_bar import ProgressBar, plain_line
from training.runs.folder import Progressed

LONG = Window(
    steps=1,
    images=128,
    seconds=0.1,
    scalars={"elbo_nats": -123456.7, "rate_nats": 23456.78, "distortion_nats": 100000.9},
)


def shown(name: str, width: int) -> str:
    """The last state of a training bar in a window of that width."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with Bar(name, num_steps=54_000, steps_per_epoch=18, console=console) as bar:
        bar.show(Progressed(step=17_999, bound_nats=-123456.7), LONG)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed))
    assert max(map(len, lines)) <= width
    return [line for line in lines if line.strip()][-1]


def test_a_training_bar_fits_80_columns_with_its_epoch_bounds_and_time() -> None:
    line = shown("a-name-of-64-letters-" * 3, 80)
    assert "epoch 1000/3000 ELBO -123457" in line
    assert re.search(r"-:--:--|\d:\d\d:\d\d", line)
    assert "val -123457" in shown("digits", 80)


def test_a_wide_window_shows_more_and_a_narrow_one_the_epoch() -> None:
    assert "rate 23457 dist. 100001 1280 img/s" in shown("digits", 140)
    assert "epoch 1000" in shown("digits", 50)


def test_a_file_gets_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "LINE_SECONDS", 0.02)
    console = Console(file=StringIO(), width=80)
    with ProgressBar(console=console) as bar:
        task, done = bar.add_task("ELBO", total=1_000), bar.add_task("over", total=1)
        bar.advance(task, 500)
        bar.advance(done, 1)
        deadline = time.monotonic() + 10
        while not console.file.getvalue() and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.01)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert set(printed.splitlines()) == {"ELBO: 500/1,000, 50 %"}


def test_a_file_gets_nothing_where_nothing_takes_a_while() -> None:
    console = Console(file=StringIO(), width=80)
    with ProgressBar(console=console) as bar:
        bar.add_task("ELBO", total=1)
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_a_plain_line_has_the_time_left_and_a_task_without_a_total_the_time_so_far() -> None:
    with ProgressBar(console=None) as bar:
        bar.get_time = iter([0.0, 0.0, 1.0, 2.0, *[3.0] * 9]).__next__
        task = bar.add_task("digits", total=200)
        for _ in range(2):
            bar.advance(task, 10)
        assert plain_line(bar.tasks[0], ["epoch 3/25"]) == "digits: epoch 3/25, 10 %, 0:00:18 left"
    with ProgressBar(console=None) as bar:
        bar.add_task("plot", total=None)
        (endless,) = bar.tasks
        assert plain_line(endless, progress_bar.count_words(endless)) == "plot: 0:00:00"
