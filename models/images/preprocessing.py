"""The steps from a picture to its observation: their names, words and JSON.

op            from      to          how
orient        6         1                               EXIF orientation, turned upright
ignore-exif                                             damaged EXIF
alpha                               on 0                transparency composed on a grey
invert
grey          RGB       grey        rec601
repeat        grey      RGB
resize        600x400   28x28       stretch bilinear    width x height
crop, pad     28x30     28x28       on 0 (pad)          whole pixels, nothing resampled
centre                              +2 right -1 down
levels        65536     256
binarize      256       2           stochastic          or threshold
"""

from dataclasses import dataclass
from typing import Literal

Operation = Literal[
    "orient",
    "ignore-exif",
    "alpha",
    "invert",
    "grey",
    "repeat",
    "resize",
    "crop",
    "pad",
    "centre",
    "levels",
    "binarize",
]


@dataclass(frozen=True)
class Step:
    """One step of preprocessing."""

    op: Operation
    words: str
    """The step as a phrase, one entry of `Observation.preprocessing`."""
    before: str | None = None
    after: str | None = None
    how: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Members `op`, `from`, `to` and `how`; null where there is none."""
        return {"op": self.op, "from": self.before, "to": self.after, "how": self.how}
