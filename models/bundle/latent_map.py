"""map.json: held-out pictures in a plane of the latent space, for a page.

    z = mean + a axis_1 + b axis_2

The axes are the first two principal components of posterior means. A bundle may have it.
docs/bundle-format.md is normative.
"""

from math import prod
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, model_validator

from models.config import Config
from models.errors import ConfigError
from models.vae_config import VAEConfig

MAP = "map.json"
MOST_LATENTS = 1_000
"""Of a model that has a map: three rows of so many numbers take 30 KB."""
MOST_POINTS = 2_000

Vector = tuple[float, ...]
Share = Annotated[float, Field(ge=0, le=1)]


class LatentMap(Config):
    """Posterior means of held-out pictures, projected on two axes."""

    format_version: Literal[1] = 1
    source: Annotated[str, Field(min_length=1)]
    """Which pictures they are, where they are from, and their licence."""
    mean: Vector
    """Mean of their posterior means, the latent flattened in C order."""
    axes: tuple[Vector, Vector]
    """Orthonormal directions in the latent space, that of the largest variance first."""
    explained: tuple[Share, Share]
    """Share of the variance of posterior means along each axis."""
    points: Annotated[tuple[tuple[float, float], ...], Field(min_length=1, max_length=MOST_POINTS)]
    """Coordinates of each picture along the axes, from the mean."""
    labels: tuple[NonNegativeInt | None, ...]
    """Index into `label_names` of each picture's class; None where it is not known."""
    label_names: tuple[str, ...]

    @model_validator(mode="after")
    def _fits(self) -> "LatentMap":
        sizes = {len(self.mean), *map(len, self.axes)}
        if len(sizes) > 1:
            raise ConfigError(
                f"mean and axes have {', '.join(map(str, sorted(sizes)))} numbers; they must have "
                "as many as the latent has.",
                parameter="axes",
            )
        if len(self.labels) != len(self.points):
            raise ConfigError(
                f"there are {len(self.labels)} labels for {len(self.points)} points; each point "
                "has one, or null.",
                parameter="labels",
            )
        if any(label is not None and label >= len(self.label_names) for label in self.labels):
            raise ConfigError(
                f"labels holds {max(label or 0 for label in self.labels)}; there are "
                f"{len(self.label_names)} label_names.",
                parameter="labels",
            )
        return self


def why_no_map(config: VAEConfig) -> str | None:
    """Why a model's latents have no map; None if they can have one."""
    latents = prod(config.latent_shape)
    if config.encoder is None:
        return "it is a mixture, whose latent is one of its components"
    if config.latent_groups:
        return "its latents are in layers, each given the one above, so that no plane shows them"
    if latents == 1:
        return "its latent is one number, and a map needs two"
    if latents > MOST_LATENTS:
        return f"its latent has {latents:,} numbers, over the {MOST_LATENTS:,} of a map"
    return None
