"""good_pictures.json: scores of good pictures, by which the operation `anomaly` ranks others.

A bundle may have it. docs/bundle-format.md is normative.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from models.config import Config
from models.errors import ConfigError
from models.scores.kinds import AnomalyKind

GOOD_PICTURES = "good_pictures.json"
OPTIONAL: set[AnomalyKind] = {"likelihood_regret", "layers_ratio"}
"""Scores that some bundles have."""

Values = tuple[float, ...]
Scores = dict[AnomalyKind, Values]


class FalseAlarms(Config):
    """How many good pictures, which stand behind nothing else, were called anomalous."""

    alpha: Annotated[float, Field(gt=0, lt=1)]
    n: PositiveInt
    count: NonNegativeInt


class GoodPictures(Config):
    """Scores of good pictures that were used neither in training nor to choose the weights."""

    format_version: Literal[1] = 1
    dataset: str
    split: str
    """Which pictures: the split of a data set, or a folder."""
    seed: NonNegativeInt
    """Seed of their bounds' draws; picture i is item i."""
    num_samples: PositiveInt
    """Draws of each bound."""
    code_version: PositiveInt
    """Version of the lossless code whose lengths are in the complexities."""
    elbo_median_nats: float
    sharpness_median: float
    latent_mean: Values
    latent_factor: tuple[Values, ...]
    """Rows of F with F'F the inverse of the latents' covariance; one row: the diagonal of F."""
    fitted: Scores
    """Ascending; of the pictures whose medians, mean and factor are above."""
    held_out: Scores
    """Ascending; of others."""
    evidence: Values
    """Ascending; of the held-out ones."""
    false_alarms: tuple[FalseAlarms, ...] = ()
    """Of others again, which are behind nothing above."""

    @model_validator(mode="after")
    def _fits(self) -> "GoodPictures":
        n = len(self.evidence)
        if not n or any(len(values) != n for values in self.held_out.values()):
            raise ConfigError(
                f"evidence has {n} values; each score of held_out must have as many, and one at "
                "least.",
                parameter="evidence",
            )
        needed = (set(get_args(AnomalyKind)) - OPTIONAL) | self.fitted.keys() | self.held_out.keys()
        for name, scores in (("fitted", self.fitted), ("held_out", self.held_out)):
            if missing := sorted(needed - {kind for kind, values in scores.items() if values}):
                raise ConfigError(f"{name} lacks {', '.join(missing)}.", parameter=name)
        latents, rows = len(self.latent_mean), len(self.latent_factor)
        if rows not in (1, latents) or any(len(row) != latents for row in self.latent_factor):
            raise ConfigError(
                f"latent_factor must have 1 or {latents} rows of {latents} numbers.",
                parameter="latent_factor",
            )
        for values in (*self.fitted.values(), *self.held_out.values(), self.evidence):
            if list(values) != sorted(values):
                raise ConfigError("scores are not ascending. Sort them.", parameter="held_out")
        return self
