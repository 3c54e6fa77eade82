"""Held-out pictures of a model's data, and the plane in which their latents differ most."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Held-out pictures, as a model takes them."""

    model: str
    version: int
    source: str
    """What they show, where they are from, and their licence."""
    labels: tuple[str | None, ...]
    """Name of each picture's class; None where it is not known."""
    pictures: tuple[Image.Image, ...] = field(repr=False)
    """Grey or RGB, of the model's own size."""

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, kw_only=True)
class LatentMap:
    """Held-out pictures in a plane of the latent space: z = mean + a axes[0] + b axes[1]."""

    model: str
    version: int
    source: str
    mean: np.ndarray
    """(latent,), the latent flattened in C order."""
    axes: np.ndarray
    """(2, latent), orthonormal, the one of the largest variance first."""
    explained: np.ndarray
    """(2,), share of the variance of posterior means along each axis."""
    points: np.ndarray
    """(picture, 2), coordinates of posterior means along the axes."""
    labels: tuple[str | None, ...]
    """Name of each picture's class; None where it is not known."""


def make_examples(document: Mapping[str, Any]) -> Examples:
    """The pictures of the service's answer."""
    found = document["examples"]
    return Examples(
        model=document["model"],
        version=document["version"],
        source=document["source"],
        labels=tuple(one["label"] for one in found),
        pictures=tuple(_opened(one["png"]) for one in found),
    )


def make_map(document: Mapping[str, Any]) -> LatentMap:
    """The plane of the service's answer."""
    names = document["label_names"]
    return LatentMap(
        model=document["model"],
        version=document["version"],
        source=document["source"],
        **{key: np.array(document[key]) for key in ("mean", "axes", "explained", "points")},
        labels=tuple(None if index is None else names[index] for index in document["labels"]),
    )


def _opened(png: str) -> Image.Image:
    picture = Image.open(io.BytesIO(base64.b64decode(png)))
    picture.load()
    return picture
