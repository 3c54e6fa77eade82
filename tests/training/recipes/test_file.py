"""Recipes: read, overridden, refused, and written so that they read back equal."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from training.recipes.file import RECIPES, load_recipe, to_toml

DIGITS = RECIPES / "digits.toml"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_named_as_its_file_and_says_what_it_is_and_what_to_expect(path: Path):
    assert load_recipe(path).name == path.stem
    comments, _, _ = path.read_text().partition("\nname = ")
    described, *_, expected = comments.split("\n# Expected: ")
    assert described.startswith("# ")
    assert expected


def test_a_resolved_recipe_reads_back_equal(tmp_path: Path):
    recipe = load_recipe(DIGITS, overrides=["training.epochs=3", "augmentation.flip=both"])
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    assert load_recipe(tmp_path / "recipe.toml") == recipe


def test_a_path_in_any_script_is_stored_as_it_is(tmp_path: Path):
    path = tmp_path / "Fotos für 日本 \N{CAMERA}" / "a\\b"
    recipe = load_recipe(DIGITS, overrides=[f"dataset.name='{path}'"])
    (tmp_path / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.toml").dataset.name == str(path)


def test_an_override_is_a_toml_value_or_text():
    recipe = load_recipe(
        DIGITS, overrides=["name=other", "optimizer.learning_rate=1e-4", "vae.encoder.hidden=[7]"]
    )
    assert recipe.name == "other"
    assert recipe.optimizer.learning_rate == 1e-4
    assert recipe.vae.encoder.hidden == (7,)


def test_the_shape_of_the_model_is_that_of_the_image_spec():
    assert load_recipe(DIGITS).vae.image_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("no-equals-sign", "--set no-equals-sign: has no =. Write --set training.epochs=VALUE."),
        ("epochs", "--set epochs: has no =. Write --set training.epochs=VALUE."),
        ("dataset.foo", "--set dataset.foo: has no =. Write --set dataset.name=VALUE."),
        ("dataset", "--set dataset: has no =. Write --set dataset.name=VALUE."),
        ("seed", "--set seed: has no =. Write --set seed=VALUE."),
        ("=3", "--set =3: has no entry before the =. Write --set training.epochs=VALUE."),
        (
            "name.first=1",
            "--set name.first=1: name is a value, not a table. Write --set name=VALUE.",
        ),
    ],
)
def test_an_override_that_cannot_be_read_is_refused(override: str, message: str):
    with pytest.raises(ConfigError) as refused:
        load_recipe(DIGITS, overrides=[override])
    assert str(refused.value) == message


@pytest.mark.parametrize("content", [b"a = ", b"\xff", b"", b"vae = 3"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "r.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"r\.toml"):
        load_recipe(tmp_path / "r.toml")


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"^Cannot read the recipe .*none\.toml: No such file"):
        load_recipe(tmp_path / "none.toml")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_recipe_says_only_what_differs_from_its_base(tmp_path: Path):
    write(tmp_path / "small.toml", 'name = "small"\nbase = "digits"\n[training]\nepochs = 3\n')
    path = write(
        tmp_path / "mine.toml",
        'name = "mine"\nbase = "small"\n[vae]\nencoder = { kind = "mlp", hidden = [9] }\n',
    )
    assert load_recipe(path) == load_recipe(
        DIGITS,
        overrides=["name=mine", "training.epochs=3", 'vae.encoder={kind="mlp", hidden=[9]}'],
    )


def test_a_table_without_a_kind_of_its_own_is_merged(tmp_path: Path):
    path = write(tmp_path / "r.toml", 'base = "digits"\nname = "r"\n[vae.encoder]\ndropout = 0.1\n')
    encoder, before = load_recipe(path).vae.encoder, load_recipe(DIGITS).vae.encoder
    assert encoder is not None
    assert before is not None
    assert encoder.model_dump() == before.model_dump() | {"dropout": 0.1}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("digit", "there is no base 'digit'. Did you mean 'digits'? Allowed: bccd, digits"),
        ("r", "leads back to itself: r -> r"),
        ("s", "leads back to itself: r -> s -> r"),
    ],
)
def test_a_base_that_is_missing_or_leads_back_is_refused(tmp_path: Path, base: str, message: str):
    write(tmp_path / "s.toml", 'base = "r"\n')
    path = write(tmp_path / "r.toml", f'name = "r"\nbase = "{base}"\n')
    with pytest.raises(ConfigError) as refused:
        load_recipe(path)
    assert message in str(refused.value)


@pytest.mark.parametrize("marked", ["r.toml", "below.toml"])
def test_a_byte_order_mark_of_utf_8_changes_nothing(tmp_path: Path, marked: str):
    (tmp_path / "below.toml").write_text('base = "digits"\nname = "below"', encoding="utf-8")
    (tmp_path / "r.toml").write_text('base = "below"\nname = "r"', encoding="utf-8")
    plain = load_recipe(tmp_path / "r.toml")
    text = (tmp_path / marked).read_text(encoding="utf-8")
    (tmp_path / marked).write_text(text, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "r.toml") == plain


def test_a_recipe_in_utf_16_is_named(tmp_path: Path):
    (tmp_path / "r.toml").write_text('base = "digits"', encoding="utf-16")
    with pytest.raises(ConfigError, match=r"r\.toml is in UTF-16; .*Save it as UTF-8"):
        load_recipe(tmp_path / "r.toml")
