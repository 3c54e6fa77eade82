"""Configs of a VAE and its parts, as recipes and bundles store them.

Each `kind` is a key of the dict of the classes that it names: `likelihoods.LIKELIHOODS`,
`priors.PRIORS`, `posteriors.POSTERIORS`, `make_network.NETWORKS`.
"""

from math import gcd
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from models.errors import ConfigError

NAME = r"^[a-z0-9_-]{1,64}$"
MAX_VERSION = 2**31 - 1
MAX_PIXELS = 89_478_485
"""Pixels of the largest picture; Pillow warns above."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=64)]
Side = Annotated[int, Field(ge=1, le=4096)]
Levels = Annotated[int, Field(ge=2, le=65536)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class Config(BaseModel):
    """Base of all configs: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BernoulliConfig(Config):
    """Binary pixels {0, 1}."""

    kind: Literal["bernoulli"] = "bernoulli"


class ContinuousBernoulliConfig(Config):
    """Grey pixels as real numbers in [0, 1]: a density."""

    kind: Literal["continuous_bernoulli"] = "continuous_bernoulli"


class DiscretizedLogisticConfig(Config):
    """Integers 0..levels-1 under a mixture of logistics; each colour channel given the last."""

    kind: Literal["discretized_logistic"] = "discretized_logistic"
    levels: Levels = 256
    """Number of levels, as in the image spec."""
    num_mixtures: Annotated[int, Field(ge=1, le=64)] = 1
    """Logistics in the mixture of a pixel."""


class DiscretizedNormalConfig(Config):
    """Integers 0..levels-1 under a normal whose mass over each level is exact."""

    kind: Literal["discretized_normal"] = "discretized_normal"
    levels: Levels = 256
    """Number of levels, as in the image spec."""
    scale: Literal["learned", "per_pixel"] = "per_pixel"
    """One learned number, or one per pixel and channel from the decoder."""


class NormalConfig(Config):
    """Real pixels on the unit scale, under a normal: a density per unit of that scale."""

    kind: Literal["normal"] = "normal"
    scale: Literal["fixed", "learned", "per_image", "per_pixel"] = "per_image"
    """`fixed_scale`; one learned number; one per image or one per pixel from the decoder."""
    fixed_scale: PositiveFloat = 1.0
    """The scale if `scale` is "fixed", where it starts otherwise."""


class PointConfig(Config):
    """An autoencoder's picture, no distribution: it cannot be scored."""

    kind: Literal["point"] = "point"


LikelihoodConfig = Annotated[
    BernoulliConfig
    | ContinuousBernoulliConfig
    | DiscretizedLogisticConfig
    | DiscretizedNormalConfig
    | NormalConfig
    | PointConfig,
    Field(discriminator="kind"),
]

Widths = Annotated[tuple[PositiveInt, ...], Field(max_length=16)]


class MLPConfig(Config):
    """Dense layers; affine without hidden layers."""

    kind: Literal["mlp"] = "mlp"
    hidden: Widths = (300, 300)
    """Widths of the hidden layers, from the input on."""
    activation: Literal["relu", "tanh", "silu", "gelu"] = "relu"
    """After each hidden layer."""
    dropout: Dropout = 0.0
    """Share of hidden units that a training step leaves out."""


class GatedMLPConfig(Config):
    """Dense layers times sigmoid gates (Tomczak & Welling 2018, arXiv:1705.07120)."""

    kind: Literal["gated_mlp"] = "gated_mlp"
    hidden: Annotated[Widths, Field(min_length=1)] = (300, 300)
    """Widths of the gated layers, from the input on."""
    dropout: Dropout = 0.0
    """Share of hidden units that a training step leaves out."""


class ConvConfig(Config):
    """Residual convolutions at successively halved resolutions, for any height and width."""

    kind: Literal["conv"] = "conv"
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=8)] = (32, 64)
    """Channels at one half, one quarter, ... of the image's sides."""
    blocks: Annotated[tuple[Annotated[int, Field(ge=0, le=32)], ...], Field(max_length=8)] = (1, 1)
    """Residual blocks at each of these resolutions."""
    dropout: Dropout = 0.0
    """Share of units in the blocks and before a dense layer that a training step leaves out."""

    @model_validator(mode="after")
    def _one_count_per_resolution(self) -> "ConvConfig":
        if len(self.channels) != len(self.blocks):
            channels, blocks = list(self.channels), list(self.blocks)
            suggestion = [*blocks, *[1] * len(channels)][: len(channels)]
            raise ConfigError(
                f"blocks = {blocks} and channels = {channels} differ in length; a conv network has "
                f"one of each per resolution. Set blocks = {suggestion}.",
                parameter="blocks",
                received=blocks,
                suggestion=suggestion,
            )
        return self


class AutoencoderKLConfig(Config):
    """The encoder or the decoder of diffusers' `AutoencoderKL`, which is imported, not trained."""

    kind: Literal["autoencoder_kl"] = "autoencoder_kl"
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=8)] = (64,)
    """Channels at the full size, one half, one quarter, ... of the image's sides."""
    blocks: Annotated[int, Field(ge=1, le=32)] = 1
    """Residual blocks at each resolution of the encoder; the decoder has one more at each."""
    groups: PositiveInt = 32
    """Groups of channels that are normalised together; they divide each number of channels."""
    attention: bool = True
    """Attention among all places of the deepest resolution."""
    latent_conv: bool = True
    """A 1x1 convolution of the latents: after the encoder, before the decoder."""

    @model_validator(mode="after")
    def _groups_divide_channels(self) -> "AutoencoderKLConfig":
        if any(width % self.groups for width in self.channels):
            suggestion = gcd(*self.channels)
            raise ConfigError(
                f"groups = {self.groups} does not divide channels = {list(self.channels)}. Set "
                f"groups = {suggestion}.",
                parameter="groups",
                received=self.groups,
                suggestion=suggestion,
            )
        return self


NetworkConfig = Annotated[
    MLPConfig | GatedMLPConfig | ConvConfig | AutoencoderKLConfig, Field(discriminator="kind")
]


class StandardNormalConfig(Config):
    """z ~ N(0, I)."""

    kind: Literal["standard_normal"] = "standard_normal"


class MixturePriorConfig(Config):
    """A learned mixture of diagonal normals."""

    kind: Literal["mixture"] = "mixture"
    num_components: Annotated[int, Field(ge=1, le=4096)] = 10
    """Normals in the mixture."""


class VampPriorConfig(Config):
    """The mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018)."""

    kind: Literal["vamp"] = "vamp"
    num_components: Annotated[int, Field(ge=1, le=4096)] = 500
    """Pseudo-inputs."""


class LabelNormalConfig(Config):
    """p(z|y): a learned diagonal normal for each label."""

    kind: Literal["label_normal"] = "label_normal"


class CategoricalPriorConfig(Config):
    """Learned probabilities of the latent_shape[0] unit vectors."""

    kind: Literal["categorical"] = "categorical"


class TopDownConfig(Config):
    """A hierarchy: the last group is standard normal, p(z_i | z_(i+1)) by a network each."""

    kind: Literal["top_down"] = "top_down"
    network: NetworkConfig = MLPConfig()
    """The network between each two groups."""


class NoPriorConfig(Config):
    """An autoencoder's: its latents have no distribution."""

    kind: Literal["none"] = "none"


PriorConfig = Annotated[
    StandardNormalConfig
    | MixturePriorConfig
    | VampPriorConfig
    | LabelNormalConfig
    | CategoricalPriorConfig
    | TopDownConfig
    | NoPriorConfig,
    Field(discriminator="kind"),
]


class DiagonalNormalConfig(Config):
    """q(z|x) = N(loc(x), diag(scale(x))^2)."""

    kind: Literal["diagonal_normal"] = "diagonal_normal"


class FullNormalConfig(Config):
    """q(z|x) = N(loc(x), T(x) T(x)') with a triangular T."""

    kind: Literal["full_normal"] = "full_normal"


class BottomUpConfig(Config):
    """q(z_1|x) by the encoder, then q(z_(i+1) | z_i) by a network each (Burda et al. 2016)."""

    kind: Literal["bottom_up"] = "bottom_up"
    network: NetworkConfig = MLPConfig()
    """The network between each two groups."""


class LadderConfig(Config):
    """Estimates of each group from hidden features of x, multiplied by the prior's on the way down
    (Sonderby et al. 2016)."""

    kind: Literal["ladder"] = "ladder"
    network: NetworkConfig = MLPConfig()
    """The network between each two groups, from the features of one to the next one's estimate and
    features."""
    features: Annotated[int, Field(ge=1, le=1024)] = 4
    """Features for each number of a group: what the groups above know of x."""


class EnumeratedConfig(Config):
    """The exact p(z|x) of a categorical z, by Bayes' rule over its values, without an encoder."""

    kind: Literal["enumerated"] = "enumerated"


class PointPosteriorConfig(Config):
    """An autoencoder's latent, no distribution."""

    kind: Literal["point"] = "point"


PosteriorConfig = Annotated[
    DiagonalNormalConfig
    | FullNormalConfig
    | BottomUpConfig
    | LadderConfig
    | EnumeratedConfig
    | PointPosteriorConfig,
    Field(discriminator="kind"),
]
