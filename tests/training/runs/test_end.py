"""How a start ended is noted, and forgotten by the next one."""

from pathlib import Path

import pytest

from training.errors import Diverged, Interrupted
from training.runs.end import forget_end, read_end, record_end


@pytest.mark.parametrize(
    ("error", "diverged", "why"),
    [
        (None, False, ""),
        (Diverged("the loss is NaN"), True, "the loss is NaN"),
        (Interrupted("SIGTERM ended it", signal_number=15), False, "SIGTERM ended it"),
        (KeyboardInterrupt(), False, "KeyboardInterrupt"),
    ],
)
def test_the_end_of_a_start_has_its_reason(
    tmp_path: Path, error: BaseException | None, diverged: bool, why: str
) -> None:
    assert read_end(tmp_path) is None
    record_end(tmp_path, error)
    end = read_end(tmp_path)
    assert end is not None
    assert (end["diverged"], end["why"]) == (diverged, why)
    assert end["ended_at"].endswith("+00:00")
    forget_end(tmp_path)
    forget_end(tmp_path)
    assert read_end(tmp_path) is None
