"""The board of commands: one process's own, and the folder that workers share."""

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
    return OwnBoard() if request.param == "own" else SharedBoard(tmp_path, 0)


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
    one, other = SharedBoard(tmp_path, 0), SharedBoard(tmp_path, 1)
    one.add("unload", Target("a"))
    assert other.read().wants("a", 1) is False
    other.add("load", Target("a"))
    assert one.read().wants("a", 1) is True


def test_commands_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        boards = [SharedBoard(tmp_path, worker) for worker in (0, 1)]
        list(threads.map(_add_many, boards, ("a", "b")))
    numbers = [int(path.stem) for path in tmp_path.glob("*.command")]
    assert sorted(numbers) == list(range(1, 41))
    assert SharedBoard(tmp_path, 2).read().number == 40


def _add_many(board: SharedBoard, name: str) -> None:
    for version in range(1, 21):
        board.add("load", Target(name, version))


def test_old_commands_that_later_ones_cover_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_control, "KEPT_COMMANDS", 2)
    board = SharedBoard(tmp_path, 0)
    board.add("unload", Target("b"))
    for _ in range(5):
        board.add("load", Target("a"))
    names = sorted(path.name for path in tmp_path.glob("*.command"))
    assert [int(name.partition(".")[0]) for name in names] == [1, 4, 5, 6]
    fresh = SharedBoard(tmp_path, 0).read()
    assert (fresh.wants("a", 1), fresh.wants("b", 1), fresh.number) == (True, False, 6)


def test_each_worker_has_one_report_until_its_board_is_closed(tmp_path: Path) -> None:
    one, other = SharedBoard(tmp_path, 0), SharedBoard(tmp_path, 1)
    one.report(Report(1, {}))
    other.report(Report(2, {"a": [1]}))
    one.report(Report(3, {}))
    assert one.reports() == other.reports() == [Report(3, {}), Report(2, {"a": [1]})]
    SharedBoard(tmp_path, 0).close()  # as the supervisor does for a worker that was killed
    assert other.reports() == [Report(2, {"a": [1]})]
    one.close()
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_is_withdrawn_while_it_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [folder / "0.report"])
    assert SharedBoard(tmp_path, 1).reports() == []


def test_the_folder_is_named_in_the_environment_and_removed() -> None:
    with control_folder():
        board = open_board(0)
        assert board.folder.is_dir()
    assert not board.folder.exists()
    with pytest.raises(KeyError):
        open_board(0)
