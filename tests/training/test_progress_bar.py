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

LONG = Window.restored(
    {
        "steps": 1,
        "images": 128,
        "seconds": 0.1,
        "scalars": {"elbo_nats": -123456.7, "rate_nats": 23456.78, "distortion_nats": 100000.9},
    }
)


def shown(name: str, width: int, window: Window = LONG, *, bound_nats: float = -123456.7) -> str:
    """The last state of a training bar in a window of that width."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with Bar(name, num_steps=54_000, steps_per_epoch=18, console=console) as bar:
        bar.show(Progressed(step=17_999, bound_nats=bound_nats), window)
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed))
    assert max(map(len, lines)) <= width
    return [line for line in lines if line.strip()][-1]


SHORT = Window.restored(
    {
        "steps": 1,
        "images": 128,
        "seconds": 0.1,
        "scalars": {"elbo_nats": -93.21, "rate_nats": 12.34, "distortion_nats": 80.87},
    }
)


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["digits", "a-name-of-64-letters-" * 3])
@pytest.mark.parametrize("window", [Window(), SHORT, LONG], ids=["new", "short", "long"])
def test_the_line_of_training_fits_its_terminal(name: str, window: Window, width: int) -> None:
    line = shown(name, width, window)
    assert "epoch 1000/3000" in line
    assert re.search(r"-:--:--|\d:\d\d:\d\d", line)


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (60, "epoch 1000/3000 val -94.02"),
        (80, "epoch 1000/3000 val -94.02 ELBO -93.21"),
        (120, "epoch 1000/3000 val -94.02 ELBO -93.21 rate 12.34 dist. 80.87 1280 img/s"),
    ],
)
def test_a_wider_terminal_shows_more_the_validation_first(width: int, words: str) -> None:
    assert words in shown("digits", width, SHORT, bound_nats=-94.02)
    assert "epoch 1000" in shown("digits", 50, SHORT)


def test_the_line_changes_in_place_and_never_wraps() -> None:
    console = Console(file=StringIO(), width=60, force_terminal=True, color_system=None)
    with Bar("digits", num_steps=54_000, steps_per_epoch=18, console=console) as bar:
        for step in range(0, 54_000, 6_000):
            bar.show(Progressed(step=step, bound_nats=-94.0), LONG)
            bar.refresh()
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("\n") == 1


def line_of_the_log(epoch: int, **changes: object) -> dict[str, object]:
    return {
        "epoch": epoch,
        "step": 18 * epoch,
        "validation_bound_nats": -94.0 - epoch,
        "validation_standard_error_nats": 0.5,
        "skipped_steps": 0,
        "train_elbo_nats": -93.0,
        "images_per_second": 512.3,
        **changes,
    }


def test_a_file_gets_one_plain_line_for_each_validation() -> None:
    console = Console(file=StringIO(), width=60)
    with Bar("digits", num_steps=54, steps_per_epoch=18, console=console) as bar:
        for epoch, changes in (
            (1, {}),
            (2, {"skipped_steps": 3, "validation_label_accuracy": 0.8034}),
            (3, {}),
        ):
            bar.show(Progressed(step=18 * epoch), LONG)
            bar.write_validation(line_of_the_log(epoch, **changes))
            bar.show(Progressed(step=18 * epoch), Window())
    first, second, third = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    said = "digits: epoch 1/3, val -95.00 +- 0.50, ELBO -93.00, 512 img/s, 33 %"
    assert first.startswith(said)
    assert "epoch 2/3, val -96.00 +- 0.50, 80.3 % of labels right, 3 steps skipped, ELBO" in second
    assert "100 %" in third


def test_a_terminal_gets_no_line_of_its_own_for_a_validation() -> None:
    console = Console(file=StringIO(), width=120, force_terminal=True, color_system=None)
    with Bar("digits", num_steps=54, steps_per_epoch=18, console=console) as bar:
        bar.write_validation(line_of_the_log(1))
    assert "+- 0.50" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_file_gets_lines_by_time_only_where_it_has_got_none_for_as_long() -> None:
    console = Console(file=StringIO(), width=80)
    with ProgressBar(console=console, line_seconds=0.2) as bar:
        bar.add_task("digits", total=10)
        (task,) = bar.tasks
        ends = time.monotonic() + 0.7
        while time.monotonic() < ends:
            bar.write_line(task, ["validated"])
            time.sleep(0.002)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert set(lines) == {"digits: validated, 0 %"}


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
