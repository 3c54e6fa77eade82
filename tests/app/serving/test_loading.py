"""Loading while it runs: what is new, changed, half written, broken, removed, unreachable."""

import gc
import logging
import os
import shutil
import weakref
from pathlib import Path

import pytest

from app.serving import loading
from app.serving.loading import fingerprint
from app.serving.wishes import Target, Wishes
from models.bundle import loading as bundle_loading
from models.bundle.repository import Entry
from tests.app.changing_repository import put, put_broken
from tests.app.serving.published import Service


@pytest.fixture(autouse=True)
def _each_load_reads_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_bundle", bundle_loading.load_bundle)


# New versions ----------------------------------------------------------------------------------


def test_a_new_version_is_served_once_it_was_seen_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    put(tmp_path, "a", 2)
    service.poll()
    assert service.versions == {"a": [1]}
    service.poll()
    assert service.versions == {"a": [1, 2]}
    messages = [record.message for record in caplog.records]
    assert messages == ["bundle loaded"]  # the start has no lines of its own


def test_what_is_served_changes_by_whole_snapshots_and_lower_versions_come_first(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a", 2)
    service = Service(tmp_path)
    before = service.now
    for version in (10, 9, 1):
        put(tmp_path, "a", version)
    service.poll(2)
    assert list(before.models["a"]) == [2]
    highest = [max(snapshot.models["a"]) for snapshot in service.seen if snapshot.models]
    assert highest == sorted(highest)
    assert max(service.versions["a"]) == 10
    assert {("a", 9): "loading"} in [snapshot.waiting for snapshot in service.seen]


def test_an_unchanged_version_is_not_loaded_again(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    service.poll(3)
    assert {id(snapshot.models["a"][1]) for snapshot in service.seen if snapshot.models} == {
        id(service.now.models["a"][1])
    }


def test_a_model_that_appears_is_served_and_a_folder_without_versions_is_listed(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    put(tmp_path, "b", 1)
    (tmp_path / "c").mkdir()
    service.poll(2)
    assert service.versions == {"a": [1], "b": [1]}
    assert ("c", None, "broken") in service.states


# Replaced in place -----------------------------------------------------------------------------


def test_a_bundle_that_is_replaced_in_place_is_swapped(tmp_path: Path) -> None:
    put(tmp_path, "a", 1, seed=1)
    service = Service(tmp_path)
    old = service.now.models["a"][1]
    put(tmp_path, "a", 1, seed=2)
    service.poll(2)
    new = service.now.models["a"][1]
    assert new.bundle.digest != old.bundle.digest


def test_the_same_bundle_copied_anew_goes_on_serving(tmp_path: Path) -> None:
    path = put(tmp_path, "a", 1)
    service = Service(tmp_path)
    old = service.now.models["a"][1]
    shutil.copytree(path, tmp_path / ".copy")
    shutil.rmtree(path)
    (tmp_path / ".copy").rename(path)
    service.poll(2)
    assert service.now.models["a"][1] is old


def test_other_bytes_of_the_same_size_and_times_are_noticed(tmp_path: Path) -> None:
    path = put(tmp_path, "a", 1)
    entry, file = Entry("a", 1, path), path / "README.md"
    before, times = fingerprint(entry), file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fingerprint(entry) != before


def test_times_in_the_future_change_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, "a", 1)
    service = Service(tmp_path)
    for file in path.iterdir():
        os.utime(file, (4e9, 4e9))
    service.poll(4)
    put(tmp_path, "a", 2)
    service.poll(2)
    assert service.versions == {"a": [1, 2]}


def test_a_link_to_a_version_can_be_turned(tmp_path: Path) -> None:
    repository, store = tmp_path / "served", tmp_path / "store"
    (repository / "a").mkdir(parents=True)
    for seed in (1, 2):
        (store / str(seed)).mkdir(parents=True)
        put(store / str(seed), "a", 1, seed=seed)
    link = repository / "a" / "1"
    link.symlink_to(store / "1" / "a" / "1")
    service = Service(repository)
    old = service.now.models["a"][1].bundle.digest
    (tmp_path / "turned").symlink_to(store / "2" / "a" / "1")
    (tmp_path / "turned").rename(link)
    service.poll(2)
    assert service.now.models["a"][1].bundle.digest != old


# Broken and half written -----------------------------------------------------------------------


def test_a_broken_version_leaves_the_old_one_serving_until_it_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    put_broken(tmp_path, "a", 2)
    service.poll(5)
    assert service.states == {("a", 1, "ready"), ("a", 2, "broken")}
    assert [record.message for record in caplog.records] == ["bundle refused"]  # once
    put(tmp_path, "a", 2)
    service.poll(2)
    assert service.states == {("a", 1, "ready"), ("a", 2, "ready")}


def test_a_bundle_that_is_replaced_by_a_broken_one_goes_on_serving(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    old = service.now.models["a"][1]
    put_broken(tmp_path, "a", 1)
    service.poll(2)
    assert service.now.models["a"][1] is old
    assert service.states == {("a", 1, "ready"), ("a", 1, "broken")}


def test_a_folder_that_is_still_written_is_not_looked_into(tmp_path: Path) -> None:
    whole = put(tmp_path, "b", 2)
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    target = tmp_path / "b" / "3"
    target.mkdir()
    for file in sorted(whole.iterdir()):
        shutil.copy(file, target)
        service.poll()
        assert ("b", 3, "broken") not in service.states
    service.poll(2)
    assert ("b", 3, "broken") in service.states  # it holds b/2
    shutil.rmtree(target)
    put(tmp_path, "b", 3)
    service.poll(2)
    assert ("b", 3, "ready") in service.states


def test_a_folder_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    path = put_broken(tmp_path, "a", 2)
    load = loading.load_bundle

    def written_meanwhile(*arguments: object, **options: object) -> object:
        if not (path / "more").exists():
            (path / "more").touch()
        return load(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "load_bundle", written_meanwhile)
    service.poll(2)
    assert service.states == {("a", 1, "ready")}
    service.poll(2)
    assert service.states == {("a", 1, "ready"), ("a", 2, "broken")}


def test_a_failure_that_may_pass_is_tried_again_and_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    put(tmp_path, "a", 2)
    load, tries = loading.load_bundle, []

    def fail_thrice(*arguments: object, **options: object) -> object:
        tries.append(1)
        if len(tries) <= 3:
            raise OSError(5, "Input/output error", "/srv/a/2/config.json")
        return load(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "load_bundle", fail_thrice)
    service.poll(4)
    assert ("a", 2, "broken") in service.states
    service.poll()
    assert service.versions == {"a": [1, 2]}
    assert [record.message for record in caplog.records] == ["bundle refused"]


def test_a_folder_that_cannot_be_listed_has_a_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(Entry("a", 1, tmp_path / "nowhere")) == (2,)
    assert fingerprint(Entry("a", None, tmp_path, "no version")) == ("no version",)


# Removed ---------------------------------------------------------------------------------------


def test_a_removed_version_is_dropped_once_it_was_missed_twice_and_its_memory_comes_back(
    tmp_path: Path,
) -> None:
    for version in (1, 2):
        put(tmp_path, "a", version)
    service = Service(tmp_path)
    weights = weakref.ref(next(service.now.models["a"][2].vae.parameters()))
    shutil.rmtree(tmp_path / "a" / "2")
    service.poll()
    assert service.versions == {"a": [1, 2]}
    service.poll()
    assert service.versions == {"a": [1]}
    service.seen = service.seen[-1:]
    gc.collect()
    assert weights() is None


def test_a_version_that_is_renamed_is_never_missing(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    put(tmp_path, "b", 1)
    service = Service(tmp_path)
    put(tmp_path, "a", 2)
    shutil.rmtree(tmp_path / "a" / "1")
    service.poll(2)
    assert service.versions == {"a": [2], "b": [1]}
    assert all(snapshot.models["a"] for snapshot in service.seen[3:])


def test_a_removed_version_stands_in_while_the_others_of_its_model_are_broken(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a", 1)
    service = Service(tmp_path)
    shutil.rmtree(tmp_path / "a" / "1")
    put_broken(tmp_path, "a", 2)
    service.poll(4)
    assert service.states == {("a", 1, "ready"), ("a", 2, "broken")}
    put(tmp_path, "a", 2)
    service.poll(2)
    assert service.states == {("a", 2, "ready")}


def test_a_removed_broken_version_is_not_listed_any_more(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    path = put_broken(tmp_path, "a", 2)
    service = Service(tmp_path)
    shutil.rmtree(path)
    service.poll(2)
    assert service.states == {("a", 1, "ready")}


@pytest.mark.parametrize("empty", [False, True])
def test_a_repository_that_vanishes_or_is_empty_keeps_what_serves_and_says_so_once(
    tmp_path: Path, empty: bool, caplog: pytest.LogCaptureFixture
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    put(repository, "a", 1)
    service = Service(repository)
    repository.rename(tmp_path / "unmounted")
    if empty:
        repository.mkdir()
    service.poll(3)
    assert service.versions == {"a": [1]}
    fault = str(service.now.fault)
    assert str(tmp_path) not in fault
    assert ("is empty" in fault) == empty
    assert fault.endswith("The models that were loaded before go on serving.")
    assert [record.message for record in caplog.records] == ["repository not read"]
    if empty:
        repository.rmdir()
    (tmp_path / "unmounted").rename(repository)
    service.poll(2)
    assert (service.versions, service.now.fault) == ({"a": [1]}, None)


def test_a_repository_that_is_only_read_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "a", 1)
    (tmp_path / "a").chmod(0o555)
    try:
        service = Service(tmp_path)
        service.poll(2)
    finally:
        (tmp_path / "a").chmod(0o755)
    assert service.versions == {"a": [1]}


# Wishes ----------------------------------------------------------------------------------------


def test_only_the_models_that_are_named_are_loaded_at_the_start(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path, name, 1)
    service = Service(tmp_path, load_models=("b",))
    assert service.states == {("a", 1, "unloaded"), ("b", 1, "ready")}


def test_commands_unload_and_load_one_model_or_version_and_leave_the_others(
    tmp_path: Path,
) -> None:
    for name, version in (("a", 1), ("a", 2), ("b", 1)):
        put(tmp_path, name, version)
    service = Service(tmp_path)
    kept = service.now.models["b"][1]
    put(tmp_path, "b", 1, seed=5)
    service.loader.wishes = Wishes().add("unload", Target("a"))
    service.command(Target("a"))
    assert service.states == {("a", 1, "unloaded"), ("a", 2, "unloaded"), ("b", 1, "ready")}
    assert service.now.models["b"][1] is kept
    service.loader.wishes = service.loader.wishes.add("load", Target("a", 2))
    service.command(Target("a", 2))
    service.command(Target("a", 2))
    assert service.states == {("a", 1, "unloaded"), ("a", 2, "ready"), ("b", 1, "ready")}


def test_what_is_not_wanted_is_unloaded_although_the_repository_cannot_be_read(
    tmp_path: Path,
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    for name in ("a", "b"):
        put(repository, name, 1)
    service = Service(repository)
    repository.rename(tmp_path / "away")
    service.loader.wishes = Wishes().add("unload", Target("a"))
    service.command(Target("a"))
    assert service.states == {("a", 1, "unloaded"), ("b", 1, "ready")}


def test_a_command_loads_a_broken_bundle_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "warm_up", lambda served: 1 / 0)
        service = Service(tmp_path)
    assert service.states == {("a", 1, "broken")}
    service.command(Target("a"))
    assert service.states == {("a", 1, "ready")}
