"""The recipe that a word on the command line means, and the data set that a recipe names.

A word is a recipe's file, a shipped recipe, or a data set.
"""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from rich.console import Console

from models.errors import ConfigError, closest
from training.data.catalogue import DATASETS
from training.data.datasets import Dataset, find_path, load, resolve_data_dir
from training.data.refusals import DATA_FORMS, FILE_SUFFIXES, is_url, why_no_dataset
from training.errors import DatasetError
from training.recipes.file import RECIPES, shipped_recipes
from training.recipes.recipe import Recipe

_TEXT = bytes({*range(0x20, 0x7F), *range(0x80, 0x100), *b"\t\n\r\f"})
"""Bytes of text in UTF-8 and its kin."""


def load_dataset(
    recipe: Recipe,
    *,
    data_dir: Path | None,
    console: Console | None,
    download: bool = False,
    recorded: str | None = None,
) -> Dataset:
    """The data set of a recipe, split as the recipe says; the arguments are those of `load`."""
    return load(
        recipe.dataset.name,
        group_by=recipe.dataset.group_by,
        specs=(recipe.image,),
        recorded=recorded,
        data_dir=data_dir,
        download=download,
        console=console,
    )


def find_recipe(source: str, *, data_dir: Path | None = None) -> Path | None:
    """The recipe file at that path, or the shipped recipe of that name; None for a data set.

    Args:
        source: A path, the name of a shipped recipe, or the name or path of a data set.
        data_dir: Folder of the data sets.

    Raises:
        ConfigError: It is none of these.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() not in FILE_SUFFIXES:
        _check_text(source)
        return path
    if source in shipped_recipes():
        return RECIPES / f"{source}.toml"
    if source in DATASETS:
        return None
    try:
        find_path(source, resolve_data_dir(data_dir))
    except DatasetError as error:
        raise _unknown(source) if source.strip() else error from error
    return None


def _check_text(source: str) -> None:
    """Refuse a file that is no recipe by its name or its bytes, and say what data may be."""
    path, found = Path(source), why_no_dataset(source)
    if path.suffix.lower() == ".toml":
        return
    if found is None and path.suffix.lower() not in (".yaml", ".yml", ".ini", ".py", ".ipynb"):
        with path.open("rb") as file:
            head = file.read(4096)
        if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or not head.translate(None, delete=_TEXT):
            return  # the reader of recipes says what is wrong with a text
    fault, fix = found or (
        f"{source} is neither a recipe nor data. Recipes are TOML files; data are {DATA_FORMS}.",
        "Name one of these, or a shipped recipe: vae-lab train digits",
    )
    raise ConfigError(f"{fault} {fix}", parameter="source", received=source, suggestion=fix)


def _unknown(source: str) -> ConfigError:
    recipes = shipped_recipes()
    only_data = [name for name in DATASETS if name not in recipes]
    found = why_no_dataset(source)
    if found is not None and (is_url(source) or Path(source).exists()):
        return ConfigError(" ".join(found), parameter="source", received=source)
    if "/" in source or "\\" in source or found is not None:
        return ConfigError(
            f"There is no recipe file, folder of pictures or other data at {source}. Check the "
            "path, or name a shipped recipe: vae-lab train digits.",
            parameter="source",
            received=source,
        )
    best = closest(source.removesuffix(".toml"), [*recipes, *only_data])
    hint = f" Did you mean {best!r}?" if best else ""
    return ConfigError(
        f"There is no recipe, data set or path {source!r}.{hint} Recipes: {', '.join(recipes)}. "
        f"Data sets without one: {', '.join(only_data)}.",
        parameter="source",
        received=source,
        allowed=[*recipes, *only_data],
        suggestion=best,
    )
