"""The version of the code that reads pictures: a digest of its source and its libraries' versions.

A number would have to be raised by hand with each change that moves a level; a digest cannot be
forgotten.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features

import models
import models.images

_CODECS = ("jpg", "zlib", "libtiff", "littlecms2", "webp")


@lru_cache(maxsize=1)
def reading_version() -> str:
    """Hex digest that changes with whatever may change what is read from a picture file."""
    libraries = [models.__version__, np.__version__, pillow_version]
    libraries += [f"{name} {features.version(name)}" for name in _CODECS]
    digest = sha256(repr(libraries).encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> list[Path]:
    images = Path(next(iter(models.images.__path__)))
    own = [
        Path(__file__).with_name(f"{name}.py") for name in ("inspection", "looks", "array_split")
    ]
    return [*sorted(images.glob("*.py")), images.parent / "noise.py", *own]
