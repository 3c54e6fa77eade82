"""Configs of a VAE and its parts, as recipes and bundles store them.

Each `kind` is a key of the dict of the classes that it names: `likelihoods.LIKELIHOODS`,
`priors.PRIORS`, `posteriors.POSTERIORS`, `networks.NETWORKS`.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from models.errors import ConfigError

NAME = r"^[a-z0-9_-]{1,64}$"
MAX_VERSION = 2**31 - 1
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


NetworkConfig = Annotated[MLPConfig | GatedMLPConfig | ConvConfig, Field(discriminator="kind")]


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

LatentShape = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=3)]


class VAEConfig(Config):
    """A VAE: its likelihood, prior and posterior, and the networks that make their parameters."""

    image_shape: tuple[Literal[1, 3], Side, Side]
    """(channels, height, width) of an observation; recipes take it from `image`."""
    latent_shape: LatentShape
    """Shape of one latent; most often one number, its dimensions."""
    latent_groups: Annotated[tuple[LatentShape, ...], Field(max_length=16)] = ()
    """Shapes of a hierarchy's groups, the one next to x first; z is all of them, flattened."""
    num_labels: Annotated[int, Field(ge=0, le=1000)] = 0
    """Classes; encoder, decoder and some priors are then conditional on the label y."""
    label_probabilities: tuple[PositiveFloat, ...] = ()
    """p(y); uniform if left out."""
    likelihood: LikelihoodConfig
    """p(x|z)."""
    prior: PriorConfig = StandardNormalConfig()
    """p(z)."""
    posterior: PosteriorConfig = DiagonalNormalConfig()
    """q(z|x)."""
    encoder: NetworkConfig | None = None
    """From pictures to the posterior's parameters."""
    decoder: NetworkConfig
    """From latents to the likelihood's parameters."""
    classifier: NetworkConfig | None = None
    """q(y|x), for labels that are not always known (Kingma et al. 2014)."""

    @property
    def num_dimensions(self) -> int:
        """D of bits per dim, channels x height x width."""
        return prod(self.image_shape)

    @model_validator(mode="after")
    def _parts_fit(self) -> "VAEConfig":
        for fault in chain.from_iterable(rule(self) for rule in _RULES):
            raise fault
        return self


def _fault(name: str, received: object, words: str, **details: Any) -> ConfigError:
    message = f"{name} = {received!r} {words}"
    return ConfigError(message, parameter=name, received=received, **details)


def _encoder_rule(c: VAEConfig) -> Iterator[ConfigError]:
    kind = c.posterior.kind
    if c.encoder is None and kind != "enumerated":
        fix = "vae.encoder.kind = 'mlp'"
        words = f"vae.encoder is missing: vae.posterior.kind = {kind!r} needs one. Set {fix}."
        yield ConfigError(words, parameter="vae.encoder", suggestion=fix)
    if c.encoder is not None and kind == "enumerated":
        words = "vae.encoder has no use: vae.posterior.kind = 'enumerated' is made by the decoder."
        yield ConfigError(f"{words} Leave vae.encoder out.", parameter="vae.encoder")


class _Entry(NamedTuple):
    """An entry whose values in `allowed` go only with the other entries of a group."""

    name: str
    received: object
    allowed: tuple[object, ...]


def _inseparable(c: VAEConfig) -> Iterator[list[_Entry]]:
    prior = "vae.prior.kind", c.prior.kind
    posterior = "vae.posterior.kind", c.posterior.kind
    likelihood = "vae.likelihood.kind", c.likelihood.kind
    groups = [list(group) for group in c.latent_groups]
    yield [_Entry(*prior, ("categorical",)), _Entry(*posterior, ("enumerated",))]
    autoencoder = _Entry(*prior, ("none",)), _Entry(*posterior, ("point",))
    yield [*autoencoder, _Entry(*likelihood, ("point",))]
    yield [
        _Entry(*prior, ("top_down",)),
        _Entry(*posterior, ("ladder", "bottom_up")),
        _Entry("vae.latent_groups", groups, (groups or [[8], [4]],)),
    ]


def _inseparable_rule(c: VAEConfig) -> Iterator[ConfigError]:
    for entries in _inseparable(c):
        inside = [entry for entry in entries if entry.received in entry.allowed]
        outside = [entry for entry in entries if entry.received not in entry.allowed]
        if inside and outside:
            first, other = inside[0], outside[0]
            fixes = [f"{name} = {' or '.join(map(repr, fit))}" for name, _, fit in outside]
            words = f"does not go with {first.name} = {first.received!r}. Set "
            words += f"{' and '.join(fixes)}, or change {first.name}."
            yield _fault(other.name, other.received, words, allowed=other.allowed)


def _groups_rule(c: VAEConfig) -> Iterator[ConfigError]:
    groups = [list(group) for group in c.latent_groups]
    size, received = sum(prod(group) for group in groups), list(c.latent_shape)
    if len(groups) == 1:
        words = "is one group; a hierarchy has two or more. Set vae.latent_groups = "
        words += f"{[*groups, [2]]} and vae.latent_shape = [{size + 2}]."
        yield _fault("vae.latent_groups", groups, words)
    if groups and received != [size]:
        words = f"does not fit vae.latent_groups = {groups}, which hold {size} numbers. Set "
        words += f"vae.latent_shape = [{size}]."
        yield _fault("vae.latent_shape", received, words, suggestion=[size])
    flat = [group for group in groups[:-1] if len(group) != 3]
    for name, part in (("vae.prior", c.prior), ("vae.posterior", c.posterior)):
        network = getattr(part, "network", None)
        if flat and network is not None and network.kind == "conv":
            words = f"cannot make the group {flat[0]} of vae.latent_groups. Set {name}.network.kind"
            words += " = 'mlp', or shape all groups but the last [channel, height, width]."
            yield _fault(f"{name}.network.kind", "conv", words, suggestion="mlp")


def _posterior_rule(c: VAEConfig) -> Iterator[ConfigError]:
    name, kind, received = "vae.posterior.kind", c.posterior.kind, list(c.latent_shape)
    if kind in ("full_normal", "enumerated") and len(received) > 1:
        size = prod(received)
        words = f"has {len(received)} axes; {name} = {kind!r} takes one. Set vae.latent_shape = "
        yield _fault("vae.latent_shape", received, f"{words}[{size}].", suggestion=[size])
    if c.prior.kind == "vamp" and kind != "diagonal_normal":
        words = f"does not go with vae.prior.kind = 'vamp'. Set {name} = 'diagonal_normal', or "
        words += "vae.prior.kind = 'mixture'."
        yield _fault(name, kind, words, allowed=["diagonal_normal"])


def _labels_rule(c: VAEConfig) -> Iterator[ConfigError]:
    name, kind, count = "vae.num_labels", c.prior.kind, c.num_labels
    needs = "vae.prior.kind = 'label_normal'" if kind == "label_normal" else "vae.classifier"
    if count == 0 and (kind == "label_normal" or c.classifier is not None):
        words = f"is too few for {needs}. Set {name} to the number of classes, 2 or more."
        yield _fault(name, count, words)
    if count == 1:
        words = f"leaves nothing to tell apart. Set {name} to 2 or more, or 0 for no labels."
        yield _fault(name, count, words)
    if count > 0 and kind in ("vamp", "categorical", "none"):
        words = f"does not go with vae.prior.kind = {kind!r}, which takes no labels. Set {name} = 0"
        yield _fault(name, count, f"{words}, or vae.prior.kind = 'standard_normal'.", suggestion=0)


def _label_probabilities_rule(c: VAEConfig) -> Iterator[ConfigError]:
    name, given = "vae.label_probabilities", list(c.label_probabilities)
    if given and len(given) != c.num_labels:
        words = f"holds {len(given)} numbers, but vae.num_labels = {c.num_labels}. Give one for "
        yield _fault(name, given, f"{words}each label, or leave it out.")
    elif given and abs(sum(given) - 1) >= 1e-6:
        scaled = [round(p / sum(given), 8) for p in given]
        words = f"sums to {sum(given):g}, not to 1. Set {name} = {scaled}."
        yield _fault(name, given, words, suggestion=scaled)


_RULES: tuple[Callable[[VAEConfig], Iterator[ConfigError]], ...] = (
    _encoder_rule,
    _inseparable_rule,
    _groups_rule,
    _posterior_rule,
    _labels_rule,
    _label_probabilities_rule,
)
"""Each yields what is wrong with parts that do not go together."""
