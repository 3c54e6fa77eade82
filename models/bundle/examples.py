"""examples.json: held-out pictures that a page can show, as the model takes them.

A bundle may have it. docs/bundle-format.md is normative.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field

from models.config import Config
from models.errors import ConfigError
from models.images.spec import ImageSpec
from models.images.writing import to_unit

EXAMPLES = "examples.json"
MOST_EXAMPLES = 64

Pictures = Float32[np.ndarray, "example channel height width"]


class Examples(Config):
    """Held-out pictures, with their labels where these are known."""

    format_version: Literal[1] = 1
    source: Annotated[str, Field(min_length=1)]
    """What they show, where they are from, and their licence."""
    labels: Annotated[tuple[str | None, ...], Field(min_length=1, max_length=MOST_EXAMPLES)]
    """Name of each picture's class; None where it is not known."""
    levels: str
    """Base64 of their levels, C order (example, channel, height, width): one byte each, or two of
    more than 256 levels, the lower one first."""

    @classmethod
    def of(
        cls, x: Pictures, spec: ImageSpec, *, labels: Sequence[str | None], source: str
    ) -> "Examples":
        """Keep observations of the image spec, one at least and `MOST_EXAMPLES` at most."""
        levels = np.rint(x * (1 if spec.values == "integer" else spec.levels - 1))
        data = levels.astype(_level_type(spec)).tobytes()
        return cls(source=source, labels=tuple(labels), levels=base64.b64encode(data).decode())

    def pictures(self, spec: ImageSpec) -> Pictures:
        """The pictures as numbers in 0..1, of the image spec that they were kept by.

        Raises:
            ConfigError: They are not that spec's.
        """
        shape = (len(self.labels), *spec.shape)
        try:
            levels = np.frombuffer(base64.b64decode(self.levels, validate=True), _level_type(spec))
            levels = levels.reshape(shape)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(
                f"levels is not the base64 of {' x '.join(map(str, shape))} levels: {error}.",
                parameter="levels",
            ) from error
        if (highest := int(levels.max())) >= spec.levels:
            raise ConfigError(
                f"levels holds {highest}; this model has the levels 0..{spec.levels - 1}.",
                parameter="levels",
                received=highest,
            )
        as_integers = spec.model_copy(update={"values": "integer"})
        return to_unit(levels, as_integers)


def _level_type(spec: ImageSpec) -> np.dtype[np.unsignedinteger]:
    return np.dtype("u1" if spec.levels <= 256 else "<u2")
