"""A repository: which folders are models and versions, and which one is meant."""

import os
import re

import pytest

from models.bundle.repository import Repository
from models.errors import BundleNotFound


@pytest.fixture
def repository(tmp_path) -> Repository:
    """Folders of every kind; nothing here is loaded."""
    for folder in ["a/1", "a/2", "a/10", "a/0", "a/01", "a/abc", "a/.3.partial", "a/-1", "a/1.5"]:
        (tmp_path / folder).mkdir(parents=True)
    for folder in ["b/7", "empty", ".hidden/1", "only-odd/0", "only-odd/v1", "c/\u00b2"]:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a" / "11").write_text("a file")
    (tmp_path / "file").write_text("")
    return Repository(tmp_path)


def test_models_are_folders_with_a_version(repository):
    assert repository.names() == ["a", "b"]


def test_versions_are_positive_integers_in_numerical_order(repository):
    assert repository.versions("a") == [1, 2, 10]
    assert repository.versions("only-odd") == []
    assert repository.versions("nothing") == []


def test_the_highest_version_is_taken_unless_one_is_asked_for(repository):
    assert repository.path_of("a") == repository.path / "a" / "10"
    assert repository.path_of("a", 2) == repository.path / "a" / "2"
    assert repository.path_of("b") == repository.path / "b" / "7"


@pytest.mark.parametrize("name", ["nothing", "empty", "..", ".hidden", "a/1", "", "only-odd"])
def test_an_unknown_model_is_not_found_and_the_message_says_which_there_are(repository, name):
    with pytest.raises(BundleNotFound, match="Available: a, b"):
        repository.path_of(name)


@pytest.mark.parametrize("version", [0, 3, 11, -1])
def test_an_unknown_version_is_not_found_and_the_message_says_which_there_are(repository, version):
    with pytest.raises(BundleNotFound, match=rf"a has no version {version} .*Available: 1, 2, 10"):
        repository.path_of("a", version)


def test_a_misspelt_model_is_told_the_nearest_one(tmp_path):
    for folder in ["mnist/1", "digits/1"]:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(BundleNotFound, match=r"'mnits'.*Did you mean 'mnist'") as caught:
        Repository(tmp_path).path_of("mnits")
    assert caught.value.details == {
        "parameter": "model",
        "received": "mnits",
        "allowed": ["digits", "mnist"],
        "suggestion": "mnist",
    }


def test_the_next_version_is_one_more_than_the_highest(repository):
    assert repository.next_version("a") == 11
    assert repository.next_version("only-odd") == 1
    assert repository.next_version("nothing") == 1


def test_a_repository_that_is_not_there_is_empty(tmp_path):
    assert Repository(tmp_path / "nowhere").names() == []


# What is no bundle ----------------------------------------------------------------------------


def faults(path) -> dict[str, str]:
    """Why each folder of a repository can hold no bundle, by its path."""
    entries = Repository(path).entries()
    return {str(e.path.relative_to(path)): e.fault for e in entries if e.fault is not None}


def test_every_folder_that_is_no_version_is_an_entry_with_the_reason(repository):
    found = faults(repository.path)
    assert sorted(found) == [
        *("a/-1", "a/0", "a/01", "a/1.5", "a/11", "a/abc"),
        *("c/\u00b2", "empty", "only-odd/0", "only-odd/v1"),
    ]
    assert found["a/01"].startswith("The folder a/01 is written otherwise than versions are.")
    assert found["a/abc"].startswith("The folder a/abc is no version. Rename it to a whole number")
    assert found["a/11"] == "a/11 is a file; a version is a folder. Remove it."
    assert found["empty"].endswith("holds no version's folder. Put a bundle into empty/1/.")
    assert not [
        entry for entry in repository.entries() if (entry.version is None) != bool(entry.fault)
    ]


@pytest.mark.parametrize(
    "name", ["Mnist", "a b", "a.b", "\u0661", "x" * 65, "x" * 255, "a\nb", "-\x1b[31m"]
)
def test_a_folder_whose_name_is_no_models_is_said(tmp_path, name):
    (tmp_path / name / "1").mkdir(parents=True)
    (entry,) = Repository(tmp_path).entries()
    assert (entry.version, entry.name.isprintable()) == (None, True)
    assert "is no model's. Rename it: a-z, 0-9, - and _, at most 64" in entry.fault
    assert Repository(tmp_path).names() == []


@pytest.mark.parametrize(
    "version", ["2147483648", "18446744073709551616", "9" * 200, "+1", "1_0", "\u0663", "1 ", "1e3"]
)
def test_a_version_has_one_spelling_and_a_largest_number(tmp_path, version):
    (tmp_path / "a" / version).mkdir(parents=True)
    (entry,) = Repository(tmp_path).entries()
    assert entry.version is None
    assert "a whole number from 1 to 2147483647, without leading zeros" in entry.fault
    assert Repository(tmp_path).next_version("a") == 1


def test_a_name_that_is_no_utf8_is_shown_with_escapes(tmp_path):
    os.makedirs(os.fsencode(tmp_path) + b"/caf\xe9/1")
    os.makedirs(os.fsencode(tmp_path) + b"/a/v\xff")
    (tmp_path / "a" / "1").mkdir()
    first, second, third = Repository(tmp_path).entries()
    assert (first.name, first.fault) == ("a", None)
    assert second.fault.startswith("The folder a/v\\udcff is no version.")
    assert third.name == "caf\\udce9"
    assert Repository(tmp_path).names() == ["a"]


def test_links_that_lead_nowhere_are_said_and_others_followed(tmp_path):
    (tmp_path / "a" / "1").mkdir(parents=True)
    (tmp_path / "a" / "2").symlink_to(tmp_path / "gone")
    (tmp_path / "a" / "3").symlink_to(tmp_path / "a" / "3")
    (tmp_path / "b").symlink_to(tmp_path / "a" / "1")
    (tmp_path / "c").symlink_to("c")
    (tmp_path / "d").symlink_to(tmp_path / "a")
    assert Repository(tmp_path).names() == ["a", "d"]
    found = faults(tmp_path)
    assert sorted(found) == ["a/2", "a/3", "b", "c", "d/2", "d/3"]
    assert found["a/2"].startswith("The link 2 cannot be followed: No such file or directory.")
    assert found["c"].startswith("The link c cannot be followed: Too many levels of symbolic")


def test_a_folder_that_cannot_be_read_hides_no_other(repository, monkeypatch):
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("only-odd"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert repository.names() == ["a", "b"]
    assert faults(repository.path)["only-odd"] == (
        "The folder only-odd cannot be read: Permission denied. Check its permissions."
    )


def test_a_bundle_without_a_versions_folder_is_told_where_it_goes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "manifest.json").write_text("{}")
    assert faults(tmp_path)["a"] == (
        "The folder a is a bundle without a version's folder. Move its files to a/1/."
    )


@pytest.mark.parametrize("kind", ["missing", "file", "loop", "nowhere"])
def test_a_repository_that_is_no_folder_cannot_be_listed(tmp_path, kind):
    path = tmp_path / kind
    if kind == "file":
        path.write_text("")
    elif kind != "missing":
        path.symlink_to(path if kind == "loop" else tmp_path / "gone")
    with pytest.raises(BundleNotFound, match=rf"{re.escape(str(path))} cannot be read: .+ Set VAE"):
        Repository(path).entries()
    assert Repository(path).names() == []


def test_thousands_of_folders_are_listed_once_each(tmp_path):
    for i in range(2000):
        (tmp_path / f"m{i}").mkdir()
    (tmp_path / "m7" / "1").mkdir()
    assert len(Repository(tmp_path).entries()) == 2000
    assert Repository(tmp_path).path_of("m7") == tmp_path / "m7" / "1"
