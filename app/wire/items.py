"""Items of a request's body: pictures and arrays, and the parameters beside them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True)
class Picture:
    """The bytes of one picture, with the type that the caller gave it."""

    data: bytes
    media_type: str | None = None


Item = Picture | np.ndarray
"""A picture, or an array of one item or of many (the first axis)."""


@dataclass(slots=True)
class Body:
    """What a request's body holds."""

    images: list[Item] = field(default_factory=list)
    latents: list[np.ndarray] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)
    """Parameters that JSON or form fields carry."""
