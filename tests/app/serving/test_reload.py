"""The reloader: it polls or obeys, tells states, and one load serves all who ask for it."""

import asyncio
import gc
import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from app.errors import BrokenModel, UnknownModel
from app.serving import loading, reload
from app.serving.model_control import Board, OwnBoard, Report, SharedBoard
from app.serving.registry import Registry
from app.serving.reload import ModelControl, Reloader
from app.serving.snapshot import ModelState
from app.serving.wishes import Target
from models.bundle import loading as bundle_loading
from tests.app.changing_repository import put, put_broken

pytestmark = pytest.mark.anyio

OTHER = "1.report"
"""Report of another worker."""


@pytest.fixture(autouse=True)
def _each_load_reads_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_bundle", bundle_loading.load_bundle)


def reloader_of(
    repository: Path,
    control: ModelControl = "explicit",
    board: Board | None = None,
    on_states: Callable[[Collection[ModelState]], None] = lambda states: None,
) -> Reloader:
    """A reloader of a repository whose models are loaded, that polls fast."""
    registry = Registry(repository)
    registry.load()
    return Reloader(
        registry, board or OwnBoard(), control=control, poll_seconds=0.01, on_states=on_states
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def versions(reloader: Reloader, name: str = "a") -> list[int]:
    return sorted(reloader.registry.models.get(name, ()))


# Polling ---------------------------------------------------------------------------------------


async def test_polling_follows_the_repository_and_tells_states(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    told: list[set[tuple[str, int | None, str]]] = []
    reloader = reloader_of(
        tmp_path, "poll", on_states=lambda s: told.append({(k.name, k.version, k.state) for k in s})
    )
    task = asyncio.create_task(reloader.run())
    put(tmp_path, "a", 2)
    await until(lambda: versions(reloader) == [1, 2])
    held = reloader.registry.find("a", 1)
    shutil.rmtree(tmp_path / "a" / "1")
    await until(lambda: versions(reloader) == [2])
    await until(lambda: ("a", 1, "draining") in told[-1])
    assert held.version == 1
    del held
    gc.collect()
    await until(lambda: told[-1] == {("a", 2, "ready")})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_control_states_are_told_once_and_the_task_ends(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    told: list[Collection[ModelState]] = []
    reloader = reloader_of(tmp_path, "none", on_states=told.append)
    await reloader.run()
    await reloader.catch_up()
    assert len(told) == 1


async def test_a_failure_of_a_look_is_logged_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", 1)
    reloader = reloader_of(tmp_path, "poll")
    with monkeypatch.context() as patch:
        patch.setattr(loading, "fingerprint", lambda entry: 1 / 0)
        await reloader.catch_up()
    put(tmp_path, "a", 2)
    await reloader.catch_up()
    assert versions(reloader) == [1, 2]
    assert [record.message for record in caplog.records] == ["reloading failed"]


async def test_a_process_that_serves_what_another_loaded_catches_up(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    reloader = reloader_of(tmp_path, "poll")
    put(tmp_path, "a", 2)
    shutil.rmtree(tmp_path / "a" / "1")
    await reloader.catch_up()
    assert versions(reloader) == [2]


# Commands --------------------------------------------------------------------------------------


async def test_commands_unload_and_load_and_are_idempotent(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "a", 2)
    reloader = reloader_of(tmp_path)
    for _ in range(2):
        assert await reloader.command("unload", Target("a", 2), seconds=1) == (1, 1)
        assert versions(reloader) == [1]
    for _ in range(2):
        assert await reloader.command("load", Target("a"), seconds=1) == (1, 1)
        assert versions(reloader) == [1, 2]


async def test_loads_at_once_do_the_work_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    reloader = reloader_of(tmp_path)
    put(tmp_path, "a", 2)
    loaded: list[Path] = []
    load = loading.load_bundle

    def counted(path: Path, **options: str) -> object:
        loaded.append(path)
        return load(path, **options)

    monkeypatch.setattr(loading, "load_bundle", counted)
    asked = [reloader.command("load", Target("a"), seconds=1) for _ in range(4)]
    assert await asyncio.gather(*asked) == [(1, 1)] * 4
    assert loaded == [tmp_path / "a" / "2"]


async def test_a_broken_bundle_is_refused_with_its_reason(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    reloader = reloader_of(tmp_path)
    put_broken(tmp_path, "a", 2)
    with pytest.raises(BrokenModel, match=r"a cannot be loaded: .*Version 1 goes on serving\."):
        await reloader.command("load", Target("a"), seconds=1)
    put_broken(tmp_path, "b", 1)
    with pytest.raises(BrokenModel, match=r"b/1 cannot be loaded: .*No version serves\."):
        await reloader.command("load", Target("b", 1), seconds=1)


async def test_a_version_whose_folder_is_gone_is_refused_and_dropped(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    reloader = reloader_of(tmp_path)
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(BrokenModel, match=r"b cannot be loaded: its folder was removed\. No vers"):
        await reloader.command("load", Target("b"), seconds=1)
    with pytest.raises(UnknownModel):
        await reloader.command("load", Target("b"), seconds=1)


async def test_a_repository_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    put(repository, "a", 1)
    reloader = reloader_of(repository)
    shutil.rmtree(repository)
    with pytest.raises(BrokenModel, match=r"a cannot be loaded: The model repository <repository>"):
        await reloader.command("load", Target("a"), seconds=1)
    assert versions(reloader) == [1]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target("aa"), r"There is no model 'aa' in the repository\. .*Available: a\."),
        (Target("a", 3), r"a has no version 3\. Its versions are 1, 2\."),
    ],
)
async def test_what_is_not_in_the_repository_is_refused(
    tmp_path: Path, target: Target, words: str
) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "a", 2)
    reloader = reloader_of(tmp_path)
    for action in ("load", "unload"):
        with pytest.raises(UnknownModel, match=words):
            await reloader.command(action, target, seconds=1)  # type: ignore[arg-type]
    assert reloader.board.read().number == 0


# Several workers -------------------------------------------------------------------------------


async def test_a_command_reaches_every_worker_and_the_answer_waits_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, folder = tmp_path / "models", tmp_path / "board"
    repository.mkdir()
    folder.mkdir()
    put(repository, "a", 1)
    one, other = (reloader_of(repository, board=SharedBoard(folder, n)) for n in range(2))
    await one.catch_up()
    (folder / OTHER).write_text('[0, {"a": [1]}]')
    asked = asyncio.create_task(one.command("unload", Target("a"), seconds=60))
    await until(lambda: not versions(one))
    await asyncio.sleep(0.1)
    assert not asked.done()

    def report(made: Report) -> None:  # whole, as the board's own
        (folder / "new").write_text(f"[{made.number}, {{}}]")
        (folder / "new").replace(folder / OTHER)

    monkeypatch.setattr(other.board, "report", report)
    await other.obey()
    assert versions(other) == []
    assert await asked == (2, 2)


async def test_the_answer_says_how_many_workers_have_it_after_a_while(tmp_path: Path) -> None:
    repository, folder = tmp_path / "models", tmp_path / "board"
    repository.mkdir()
    folder.mkdir()
    put(repository, "a", 1)
    reloader = reloader_of(repository, board=SharedBoard(folder, 0))
    (folder / OTHER).write_text('[0, {"a": [1]}]')
    assert await reloader.command("unload", Target("a"), seconds=0.05) == (1, 2)


async def test_a_worker_that_could_not_load_is_not_counted(tmp_path: Path) -> None:
    repository, folder = tmp_path / "models", tmp_path / "board"
    repository.mkdir()
    folder.mkdir()
    put(repository, "a", 1)
    reloader = reloader_of(repository, board=SharedBoard(folder, 0))
    (folder / OTHER).write_text("[7, {}]")
    assert await reloader.command("load", Target("a"), seconds=60) == (1, 2)


async def test_a_worker_that_starts_is_waited_for_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command either is there when it reads them, or finds its report."""
    repository, folder = tmp_path / "models", tmp_path / "board"
    repository.mkdir()
    folder.mkdir()
    put(repository, "a", 1)
    board = SharedBoard(folder, 0)
    steps: list[str] = []
    for name in ("report", "read"):
        method = getattr(board, name)
        monkeypatch.setattr(
            board, name, lambda *given, n=name, m=method: (steps.append(n), m(*given))[1]
        )
    await reloader_of(repository, board=board).obey()
    assert steps == ["report", "read"]


async def test_a_worker_that_starts_carries_out_earlier_commands_first(tmp_path: Path) -> None:
    repository, folder = tmp_path / "models", tmp_path / "board"
    repository.mkdir()
    folder.mkdir()
    put(repository, "a", 1)
    put(repository, "b", 1)
    SharedBoard(folder, 1).add("unload", Target("a"))
    board = SharedBoard(folder, 0)
    reloader = reloader_of(repository, board=board)
    await reloader.catch_up()
    assert sorted(reloader.registry.models) == ["b"]
    assert board.reports() == [Report(1, {"b": [1]})]
    task = asyncio.create_task(reloader.run())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert board.reports() == []


async def test_what_is_loaded_later_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(tmp_path, "a", 1)
    reloader = reloader_of(tmp_path)
    await reloader.command("unload", Target("a"), seconds=1)
    await reloader.command("load", Target("a"), seconds=1)
    assert [record.message for record in caplog.records] == ["bundle unloaded", "bundle loaded"]
    assert reload.TICK_SECONDS < 1
