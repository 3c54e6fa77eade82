"""Distances between latents, by name."""

from typing import Literal

Distance = Literal["euclidean", "cosine"]
"""Euclidean, or one minus the cosine of the angle."""
