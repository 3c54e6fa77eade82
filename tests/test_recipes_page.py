"""docs/recipes.md lists every entry with the words of the code, and an example that loads."""

import re
from pathlib import Path

from tests.makers import DOCS, load_maker
from training.recipes.file import RECIPES, load_recipe

PAGE = (DOCS / "recipes.md").read_text(encoding="utf-8")
maker = load_maker("make_recipes")


def test_the_page_is_what_the_code_says() -> None:
    assert maker.fill(PAGE) == PAGE, "run python docs/make_recipes.py"


def test_every_entry_of_every_table_has_words_of_its_own() -> None:
    lacking = [
        f"{config.__name__}.{name}"
        for config in maker.places()
        for name in config.model_fields.keys() - maker.docstrings(config).keys() - {"kind"}
    ]
    assert not lacking


def test_the_example_of_the_page_is_a_recipe(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "mine.toml").write_text(example)
    recipe = load_recipe(tmp_path / "mine.toml")
    assert recipe.vae.prior.kind == "vamp"
    assert recipe.dataset == load_recipe(RECIPES / "digits.toml").dataset
