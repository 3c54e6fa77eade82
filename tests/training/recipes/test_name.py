"""Names of recipes from names and paths of data."""

import re

import pytest

from training.recipes.name import recipe_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("frey-faces", "frey-faces"),
        ("/home/me/My Photos (2)/", "my-photos-2"),
        ("C:\\data\\cats.NPZ", "cats"),
        ("./x.npy", "x"),
        ("caf\u00e9", "cafe"),
        ("cafe\u0301", "cafe"),
        ("a" * 64, "a" * 64),
    ],
)
def test_a_run_is_named_after_its_data(source, name):
    assert recipe_name(source) == name


def test_names_that_lose_letters_differ_all_the_same():
    sources = [
        "фото",
        "видео",
        "写真",
        "写真 2",
        "фото 2",
        "a" * 98,
        "a" * 99,
        "x\udce9",
        "--",
        "😀",
    ]
    names = [recipe_name(source) for source in sources]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9_-]{1,64}", name) for name in names)


def test_the_folder_that_a_command_stands_in_has_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "My Cells" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "My Cells" / "sub")
    assert (recipe_name("."), recipe_name(".."), recipe_name("./")) == ("sub", "my-cells", "sub")
