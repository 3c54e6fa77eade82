"""What a word on the command line means: a recipe or a data set."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from training.errors import DatasetError
from training.recipes.find import find_recipe


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_shipped_recipes_are_found_by_name_and_come_before_data_sets(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    found = find_recipe("digits")
    assert found is not None
    assert found.name == "digits.toml"
    assert find_recipe("./digits") is None  # the folder


@pytest.mark.parametrize("source", ["frey-faces", "pictures", "cats.npz"])
def test_data_sets_have_no_recipe(source: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "cats.npz").touch()
    assert find_recipe(source) is None


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("digts", "digits"),
        ("frey-face", "frey-faces"),
        ("mnist.toml", "mnist"),
        ("zzz", None),
    ],
)
def test_what_is_neither_recipe_nor_data_set_is_refused_with_the_names_of_both(
    source: str, meant: str | None
) -> None:
    with pytest.raises(ConfigError) as refused:
        find_recipe(source)
    message = str(refused.value)
    assert message.startswith(f"There is no recipe, data set or path {source!r}.")
    assert (f" Did you mean {meant!r}?" in message) == (meant is not None)
    assert "Recipes: bccd, digits, digits-autoencoder, " in message
    assert "Data sets without one: mnist-static, " in message
    assert refused.value.details.get("suggestion") == meant


def test_a_path_where_nothing_is_is_not_taken_for_a_misspelt_name() -> None:
    with pytest.raises(ConfigError) as refused:
        find_recipe("pictures/digts")
    message = str(refused.value)
    assert message.startswith(
        "There is no recipe file, folder of pictures or other data at pictures/"
    )
    assert "Did you mean" not in message


@pytest.mark.parametrize(
    "name",
    [
        *("x.csv", "x.zip", "x.png", "x.tar.gz", "x.feather", "x.mat", "x.pt", "x.h5"),
        *("x.yaml", "x.bin", "x", "x.dat"),
    ],
)
def test_a_file_that_is_no_recipe_says_what_data_may_be(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04\x00")
    with pytest.raises(ConfigError) as refused:
        find_recipe(name)
    message = str(refused.value)
    assert message.startswith(f"{name} is ")
    assert "a folder of pictures, an .npz, an .npy, and" in message
    assert "TOML:" not in message


@pytest.mark.parametrize("source", ["https://example.org/faces.zip", "s3://bucket/faces"])
def test_an_address_is_refused_with_what_to_do(source: str) -> None:
    with pytest.raises(ConfigError, match=r" is a URL, .*Download it, unpack it, and name"):
        find_recipe(source)


@pytest.mark.parametrize("source", ["gone.csv", "folder/gone.zip", "gone.npz"])
def test_a_missing_file_is_said_to_be_missing(source: str) -> None:
    with pytest.raises(ConfigError, match=r"^There is no recipe"):
        find_recipe(source)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("name", ["mine", "mine.txt", "mine.toml"])
def test_a_text_is_a_recipe_by_any_name(name: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes('name = "é"'.encode(encoding))
    assert find_recipe(name) == Path(name)


@pytest.mark.parametrize("source", ["", " "])
def test_an_empty_name_is_not_this_folder(source: str) -> None:
    with pytest.raises(DatasetError, match=r"name of the data set is empty\. .* Write \. for this"):
        find_recipe(source)
