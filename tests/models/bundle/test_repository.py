"""A repository: which folders are models and versions, and which one is meant."""

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
