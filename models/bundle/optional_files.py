"""The files that a bundle may have: read and checked against its config."""

from math import prod
from pathlib import Path

from models.bundle.examples import EXAMPLES, Examples
from models.bundle.good_pictures import GOOD_PICTURES, GoodPictures
from models.bundle.latent_map import MAP, LatentMap
from models.bundle.reading import parse_versioned
from models.bundle.schema import BundleConfig
from models.errors import BundleCorrupt, ConfigError


def parse_good_pictures(
    path: Path, files: dict[str, bytes], config: BundleConfig
) -> GoodPictures | None:
    """The scores of good pictures among the files of `read_files`; None where there are none.

    Raises:
        BundleVersionUnsupported: They have another format version.
        BundleCorrupt: The file does not say what it must, or is of another model.
    """
    if GOOD_PICTURES not in files:
        return None
    found = parse_versioned(path, GOOD_PICTURES, files[GOOD_PICTURES], GoodPictures)
    _check_latents(path / GOOD_PICTURES, len(found.latent_mean), config, "calibrate")
    return found


def parse_examples(path: Path, files: dict[str, bytes], config: BundleConfig) -> Examples | None:
    """The held-out pictures among the files; None and `Raises` as of `parse_good_pictures`."""
    if EXAMPLES not in files:
        return None
    found = parse_versioned(path, EXAMPLES, files[EXAMPLES], Examples)
    try:
        found.pictures(config.image)
    except ConfigError as error:
        raise BundleCorrupt(f"{path / EXAMPLES}: {error} Run vae-lab illustrate again.") from error
    return found


def parse_map(path: Path, files: dict[str, bytes], config: BundleConfig) -> LatentMap | None:
    """The map among the files; None and `Raises` as of `parse_good_pictures`."""
    if MAP not in files:
        return None
    found = parse_versioned(path, MAP, files[MAP], LatentMap)
    _check_latents(path / MAP, len(found.mean), config, "illustrate")
    return found


def _check_latents(file: Path, received: int, config: BundleConfig, command: str) -> None:
    latents = prod(config.vae.latent_shape)
    if received != latents:
        raise BundleCorrupt(
            f"{file} is of a model of {received} latents; this one has {latents}. Run vae-lab "
            f"{command} again."
        )
