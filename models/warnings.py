"""Warnings in answers: every code once, with what it means.

An answer is given all the same: a warning says what is doubtful about the picture, the latent or
the request behind it. docs/api.md has the codes' table and their measured rates.
"""

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "looks_inverted",
    "below_references",
    "label_unlikely",
    "latents_far",
    "axes_guessed",
    "constant",
    "range_unused",
    "aspect_ratio_changed",
    "enlarged",
    "shrunk",
]

MEANINGS: dict[Code, str] = {
    "looks_inverted": "Exchanging black and white raises the picture's ELBO. With `check`.",
    "below_references": "The score is below every score that the bundle stores for held-out test "
    "images; about one proper picture in n + 1 is. Without a score, with `check`.",
    "label_unlikely": "The model's classifier finds another label at least 10,000 times as "
    "probable as `label`. With `check`.",
    "latents_far": "The latent is further from the origin than the standard normal prior draws.",
    "axes_guessed": "The array is read as grey pictures, and may be flat pictures or the channels "
    "of one picture.",
    "constant": "All pixels have one value, as sent or once the model sees them.",
    "range_unused": "The pixels use less than a tenth of the range from black to white.",
    "aspect_ratio_changed": "Stretching changes the aspect ratio by more than a quarter, or "
    "cropping leaves less than half of the picture.",
    "enlarged": "The picture is enlarged more than fourfold, in the mean of both sides.",
    "shrunk": "The picture is shrunk more than fourfold, in the mean of both sides.",
}


@dataclass(frozen=True)
class Warned:
    """One warning: its code, and what is doubtful, what it means and a fix in words."""

    code: Code
    message: str
    item: int | None = None
    """Index in the request; None if it is of the request as a whole."""
