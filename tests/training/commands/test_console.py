"""Tables in a window, and in a pipe."""

import io
import sys

import pytest

from training.commands.console import wide_console


def test_a_table_keeps_its_numbers_in_a_pipe_and_its_windows_width_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert wide_console().width == 240
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert wide_console().width == 80
