"""The rows of a study as a table, in a window and in a pipe."""

import io
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

from training.commands.tables import table_of, table_that_fits, wide_console
from training.studies.bounds import BoundsRow


def test_a_table_keeps_its_numbers_in_a_pipe_and_its_windows_width_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert wide_console().width == 240
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert wide_console().width == 80


def test_tables_have_a_dash_where_there_is_no_number() -> None:
    row = BoundsRow("m", 3, -1.23456, float("nan"), "exact", *[0.0] * 8)
    table = table_of([row])
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells[:4] == ["m", "3", "-1.235", "-"]
    assert table.columns[2].header == "elbo nats"
    assert str(table.caption) == "errors are one standard error; low to high covers with 95 %"


@dataclass(frozen=True)
class Row:
    name: str
    some_number: float
    unit: str
    why: str


ROWS = [Row("a-name", 1234.5, "nats per image", "all of the epochs are done by now")]


@pytest.mark.parametrize(
    ("width", "shown", "hidden"),
    [
        (100, {"name", "some number", "unit", "why"}, set()),
        (62, {"name", "some number", "unit", "why"}, set()),
        (45, {"name", "some number", "why"}, {"unit"}),
        (30, {"name", "why"}, {"unit", "some number"}),
        (10, {"name", "why"}, {"unit", "some number"}),
    ],
)
def test_a_narrow_window_leaves_out_the_least_columns_and_says_so(
    width: int, shown: set[str], hidden: set[str]
) -> None:
    console = Console(width=width, file=io.StringIO())
    table = table_that_fits(ROWS, console, least=("unit", "some_number"), flexible="why")
    assert {column.header for column in table.columns} == shown
    assert all(name in str(table.caption) for name in hidden)
    assert ("left out" in str(table.caption)) == bool(hidden)
    if width > 10:
        console.print(table)
        printed = console.file.getvalue()  # type: ignore[attr-defined]
        assert "a-name" in printed
        assert max(map(len, printed.splitlines())) <= width


def test_words_stand_on_the_left_and_numbers_on_the_right() -> None:
    assert [column.justify for column in table_of(ROWS).columns] == ["left", "right", *["left"] * 2]
