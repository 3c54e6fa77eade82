"""The board of commands: one process's own, and the folder that workers share."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.serving import model_control
from app.serving.model_control import (
    Board,
    OwnBoard,
    Report,
    SharedBoard,
    control_folder,
    open_board,
)
from app.serving.wishes import Target


@pytest.fixture(params=["own", "shared"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Board:
    return OwnBoard() if request.param == "own" else SharedBoard(tmp_path)


def test_a_board_keeps_commands_and_reports(board: Board) -> None:
    assert board.read().number == 0
    assert board.reports() == []
    assert board.add("unload", Target("a")).number == 1
    board.add("load", Target("a", 2))
    assert [board.read().wants("a", version) for version in (1, 2)] == [False, True]
    board.report(Report(1, {"a": [1]}))
    board.report(Report(2, {"a": [2]}))
    assert board.reports() == [Report(2, {"a": [2]})]
    board.close()


def test_a_report_says_whether_a_worker_agrees() -> None:
    report = Report(1, {"a": [1, 2]})
    assert report.agrees(Target("a"), [1, 2])
    assert report.agrees(Target("a", 2), [2])
    assert not report.agrees(Target("a"), [2])
    assert report.agrees(Target("b"), [])


def test_commands_of_one_worker_reach_the_others(tmp_path: Path) -> None:
    one, other = SharedBoard(tmp_path), SharedBoard(tmp_path)
    one.add("unload", Target("a"))
    assert other.read().wants("a", 1) is False
    other.add("load", Target("a"))
    assert one.read().wants("a", 1) is True


def test_commands_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        boards = [SharedBoard(tmp_path / "x"), SharedBoard(tmp_path / "x")]
        (tmp_path / "x").mkdir()
        for index, one in enumerate(boards):  # one process has one name for its unfinished file
            one._write = lambda value, index=index: _write(tmp_path / f"{index}", value)  # type: ignore[assignment, misc]
        list(threads.map(_add_many, boards, ("a", "b")))
    numbers = [int(path.stem) for path in (tmp_path / "x").glob("*.command")]
    assert sorted(numbers) == list(range(1, 41))
    assert SharedBoard(tmp_path / "x").read().number == 40


def _write(path: Path, value: object) -> Path:
    path.write_text(model_control.json.dumps(value))
    return path


def _add_many(board: SharedBoard, name: str) -> None:
    for version in range(1, 21):
        board.add("load", Target(name, version))


def test_old_commands_that_later_ones_cover_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_control, "KEPT_COMMANDS", 2)
    board = SharedBoard(tmp_path)
    board.add("unload", Target("b"))
    for _ in range(5):
        board.add("load", Target("a"))
    names = sorted(path.name for path in tmp_path.glob("*.command"))
    assert [int(name.partition(".")[0]) for name in names] == [1, 4, 5, 6]
    fresh = SharedBoard(tmp_path).read()
    assert (fresh.wants("a", 1), fresh.wants("b", 1), fresh.number) == (True, False, 6)


def test_a_dead_workers_report_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=60)
    (tmp_path / f"{ended.pid}.report").write_text("[1, {}]")
    board = SharedBoard(tmp_path)
    board.report(Report(3, {}))
    assert board.reports() == [Report(3, {})]
    assert [path.name for path in tmp_path.iterdir()] == [f"{os.getpid()}.report"]
    board.close()
    assert board.reports() == []


def test_the_folder_is_named_in_the_environment_and_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(open_board(), OwnBoard)
    with control_folder():
        board = open_board()
        assert isinstance(board, SharedBoard)
        assert board.folder.is_dir()
    assert not board.folder.exists()
    assert isinstance(open_board(), OwnBoard)
