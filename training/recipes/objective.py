"""The entries of a recipe's objective.

Each `kind` is a key of `fit.objectives.OBJECTIVES` or `fit.classical.CLASSICAL`. `recipe.RULES` say
which objective goes with which model.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from models.config import Config

ClassicalKind = Literal["ppca", "pca", "gaussian_mixture"]


class ELBOConfig(Config):
    """Maximise the ELBO, or a variation of it."""

    kind: Literal["elbo"] = "elbo"
    num_samples: PositiveInt = 1
    """Draws of z per image and step."""
    beta: NonNegativeFloat = 1.0
    """Weight of the KL (Higgins et al. 2017); 1 is the ELBO itself."""
    kl: Literal["analytic", "sampled"] = "analytic"
    """Closed form where there is one (of each group of a ladder, given the draw above it), or the
    mean over the draws."""
    gradient: Literal["auto", "plain", "path"] = "auto"
    """Of a sampled KL: reparameterised, or by the path through z alone, which has no noise where q
    is exact (Roeder et al. 2017); `auto` is `path` for a hierarchy, and `plain` otherwise."""
    free_bits_nats: Annotated[float, Field(ge=0, le=10**9)] = 0.0
    """Batch mean of the KL that is not penalised (Kingma et al. 2016): per dimension where the KL
    is analytic and q and p factorise, per group of a ladder, otherwise of the whole z."""


class CapacityConfig(Config):
    """Hold the KL at a capacity that rises (Burgess et al. 2018)."""

    kind: Literal["capacity"] = "capacity"
    num_samples: PositiveInt = 1
    """Draws of z per image and step."""
    gamma: NonNegativeFloat = 100.0
    """Weight of the distance between the KL and C."""
    capacity_nats: NonNegativeFloat = 25.0
    """The capacity C at the end of its rise from 0."""
    until: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the run after which C stays."""


class IWAEConfig(Config):
    """Maximise the importance-weighted bound of K draws."""

    kind: Literal["iwae"] = "iwae"
    num_samples: PositiveInt = 5
    """K, the draws of z per image and step."""
    gradient: Literal["plain", "stl", "dreg"] = "plain"
    """Reparameterised; without the derivative of log q itself (biased for K > 1); or doubly
    reparameterised."""


class ScoreFunctionConfig(Config):
    """Maximise the ELBO by the score-function gradient (REINFORCE): far noisier, for comparison."""

    kind: Literal["score_function"] = "score_function"
    num_samples: PositiveInt = 10
    """Draws of z per image and step."""
    baseline: Literal["none", "leave_one_out"] = "leave_one_out"
    """What is subtracted from a draw's weight: nothing, or the mean weight of the other draws."""


class M2Config(Config):
    """Semi-supervised: bounds with and without labels, and a classifier (Kingma et al. 2014)."""

    kind: Literal["m2"] = "m2"
    num_samples: PositiveInt = 1
    """Draws of z per image, label and step."""
    alpha: NonNegativeFloat = 0.1
    """Weight of the classification term beside the bound per image. The paper's sums over N images
    and has 0.1 N: the 0.1 here."""
    balanced: bool = True
    """Weigh labelled images, however few, as much as unlabelled ones; false for the paper's sum
    over all images, in which a hundred labels among fifty thousand hardly count."""


class AutoencoderConfig(Config):
    """Minimise the squared error of a deterministic autoencoder."""

    kind: Literal["autoencoder"] = "autoencoder"
    num_samples: Literal[1] = 1
    """One: the latent is a point."""


class ClassicalConfig(Config):
    """Fit in closed form or by expectation-maximisation; the recipe needs no `[training]`."""

    kind: ClassicalKind
    num_samples: Literal[1] = 1
    """Always 1: the fit draws no samples."""


ObjectiveConfig = Annotated[
    ELBOConfig
    | CapacityConfig
    | IWAEConfig
    | ScoreFunctionConfig
    | M2Config
    | AutoencoderConfig
    | ClassicalConfig,
    Field(discriminator="kind"),
]
