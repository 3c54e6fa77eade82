"""The rows of a study as a table, in a window and in a pipe."""

import io
import sys

import pytest

from training.commands.tables import table_of, wide_console
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
