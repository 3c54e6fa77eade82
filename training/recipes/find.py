"""The recipe that a word on the command line means: a file, a shipped recipe, or a data set."""

from pathlib import Path

from models.errors import ConfigError, closest
from training.data.catalogue import DATASETS
from training.data.datasets import find_path, resolve_data_dir
from training.errors import DatasetError
from training.recipes.file import RECIPES, shipped_recipes

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def find_recipe(source: str, *, data_dir: Path | None = None) -> Path | None:
    """The recipe file at that path, or the shipped recipe of that name; None for a data set.

    Args:
        source: A path, the name of a shipped recipe, or the name or path of a data set.
        data_dir: Folder of the data sets.

    Raises:
        ConfigError: It is none of these.
    """
    if Path(source).suffix.lower() in _PICTURES and not Path(source).is_dir():
        raise ConfigError(
            f"{source} is a picture. Train on its folder: vae-lab train {Path(source).parent}",
            parameter="source",
            received=source,
            suggestion=str(Path(source).parent),
        )
    path, shipped = Path(source), RECIPES / f"{source}.toml"
    if path.is_file() and path.suffix.lower() not in (".npz", ".npy"):
        return path
    if shipped.is_file():
        return shipped
    if source in DATASETS:
        return None
    try:
        find_path(source, resolve_data_dir(data_dir))
    except DatasetError as error:
        raise _unknown(source) from error
    return None


def _unknown(source: str) -> ConfigError:
    recipes = shipped_recipes()
    only_data = [name for name in DATASETS if name not in recipes]
    if "/" in source or "\\" in source:
        return ConfigError(
            f"There is no recipe file, folder of pictures, .npz or .npy at {source}. Check the "
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
