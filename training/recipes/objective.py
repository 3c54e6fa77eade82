"""What a recipe says of its objective; each `kind` is a key of `objectives.OBJECTIVES` or
`classical.CLASSICAL`. What goes with which model is refused or not by `config.Recipe`.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from models.config import Config

ClassicalKind = Literal["ppca", "pca", "gaussian_mixture"]


class ELBOConfig(Config):
    """Maximise the ELBO, or a variation of it."""

    kind: Literal["elbo"] = "elbo"
    num_samples: PositiveInt = 1
    """Draws per datum and step."""
    beta: NonNegativeFloat = 1.0
    """Weight of the KL (Higgins et al. 2017); 1 is the ELBO itself."""
    kl: Literal["analytic", "sampled"] = "analytic"
    """Closed form where there is one, or a mean over the draws."""
    free_bits_nats: NonNegativeFloat = 0.0
    """Batch-mean KL that costs nothing (Kingma et al. 2016): of each dimension where the KL is
    analytic and q and p factorise, of each group of a ladder, otherwise of the whole latent."""


class CapacityConfig(Config):
    """Hold the KL at a capacity that rises (Burgess et al. 2018)."""

    kind: Literal["capacity"] = "capacity"
    num_samples: PositiveInt = 1
    """Draws per datum and step."""
    gamma: NonNegativeFloat = 100.0
    """Weight of the distance between the KL and C."""
    capacity_nats: NonNegativeFloat = 25.0
    """C at the end of its rise from 0."""
    until: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Part of the run where it is reached."""


class IWAEConfig(Config):
    """Maximise the importance-weighted bound of K draws."""

    kind: Literal["iwae"] = "iwae"
    num_samples: PositiveInt = 5
    """K, the draws per datum and step."""
    gradient: Literal["plain", "stl", "dreg"] = "plain"
    """By reparameterisation; without log q's own derivative, biased for K > 1; or twice
    reparameterised."""


class ScoreFunctionConfig(Config):
    """Maximise the ELBO without a path through z: far noisier, for comparison."""

    kind: Literal["score_function"] = "score_function"
    num_samples: PositiveInt = 10
    """Draws per datum and step."""
    baseline: Literal["none", "leave_one_out"] = "leave_one_out"
    """What is taken from a draw's weight: nothing, or the mean of the other draws'."""


class M2Config(Config):
    """Semi-supervised: bounds with and without labels, and a classifier (Kingma et al. 2014)."""

    kind: Literal["m2"] = "m2"
    num_samples: PositiveInt = 1
    """Draws per datum, label and step."""
    alpha: NonNegativeFloat = 0.1
    """Weight of the classification term beside the per-datum bound; the paper's is N times this."""
    balanced: bool = True
    """Whether labelled images, however few, weigh as much as unlabelled ones; false for the paper's
    sum over all images, where a hundred among fifty thousand hardly tell labels from clusters."""


class AutoencoderConfig(Config):
    """Minimise the squared error of a deterministic autoencoder."""

    kind: Literal["autoencoder"] = "autoencoder"
    num_samples: Literal[1] = 1
    """There is one latent."""


class ClassicalConfig(Config):
    """Fitted at once, in closed form or by expectation-maximisation: `training` is not needed."""

    kind: ClassicalKind
    num_samples: Literal[1] = 1
    """There is nothing to draw."""


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
