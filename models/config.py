"""The configs that a bundle stores: frozen, strict, tagged by `kind`; they build nothing.

Each `kind` here is a key of the plain dict at the end of the module that builds it
(`likelihoods.LIKELIHOODS`, `priors.PRIORS`, `posteriors.POSTERIORS`, `networks.NETWORKS`).
"""

from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=64)]
Side = Annotated[int, Field(ge=1, le=4096)]
Levels = Annotated[int, Field(ge=2, le=65536)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class Config(BaseModel):
    """Frozen, and refuses fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BernoulliConfig(Config):
    """Binary pixels {0, 1}."""

    kind: Literal["bernoulli"] = "bernoulli"


class ContinuousBernoulliConfig(Config):
    """Grey pixels as real numbers in [0, 1]: a density."""

    kind: Literal["continuous_bernoulli"] = "continuous_bernoulli"


class DiscretizedLogisticConfig(Config):
    """Integers 0..levels-1 under a mixture of logistics; colour channels conditioned in turn."""

    kind: Literal["discretized_logistic"] = "discretized_logistic"
    levels: Levels = 256
    """Those of the image spec."""
    num_mixtures: Annotated[int, Field(ge=1, le=64)] = 1
    """Logistics that a pixel is a mixture of."""


class DiscretizedNormalConfig(Config):
    """Integers 0..levels-1 under a normal whose mass over each level is exact."""

    kind: Literal["discretized_normal"] = "discretized_normal"
    levels: Levels = 256
    """Those of the image spec."""


class NormalConfig(Config):
    """Real pixels on the unit scale: a density per unit of that scale."""

    kind: Literal["normal"] = "normal"
    scale: Literal["fixed", "learned", "per_image", "per_pixel"] = "per_image"
    """Given by the config; one number that is learned; or made by the decoder."""
    fixed_scale: PositiveFloat = 1.0
    """The scale itself when `scale` is "fixed"; its starting point otherwise."""


class PointConfig(Config):
    """No distribution: the decoder's output is the picture, and nothing can be scored."""

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
    """Dense layers. No hidden layer at all makes the network affine."""

    kind: Literal["mlp"] = "mlp"
    hidden: Widths = (300, 300)
    """Widths of the hidden layers, from the input on."""
    activation: Literal["relu", "tanh", "silu", "gelu"] = "relu"
    """After each of them."""
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
    """Width at one half, one quarter, ... of the image's sides."""
    blocks: Annotated[tuple[Annotated[int, Field(ge=0, le=32)], ...], Field(max_length=8)] = (1, 1)
    """Residual blocks at each of these resolutions."""
    dropout: Dropout = 0.0
    """Share of units inside the blocks, and before a dense layer, that a step leaves out."""

    @model_validator(mode="after")
    def _one_count_per_resolution(self) -> "ConvConfig":
        if len(self.channels) != len(self.blocks):
            raise ValueError(
                "A conv network has one number of blocks per resolution; received channels="
                f"{self.channels} and blocks={self.blocks}. Give both the same length."
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
    """Pseudo-inputs; their posteriors are the mixture."""


class LabelNormalConfig(Config):
    """p(z|y): a learned diagonal normal for each label."""

    kind: Literal["label_normal"] = "label_normal"


class CategoricalPriorConfig(Config):
    """z is one of latent_shape[0] unit vectors, with learned probabilities."""

    kind: Literal["categorical"] = "categorical"


class TopDownConfig(Config):
    """Groups of latents, the last one standard normal: p(z_i | z_(i+1)) by a network each."""

    kind: Literal["top_down"] = "top_down"
    network: NetworkConfig = MLPConfig()
    """One such between each two groups."""


class NoPriorConfig(Config):
    """An autoencoder, whose latents have no distribution."""

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
    """One such between each two groups."""


class LadderConfig(Config):
    """Bottom-up estimates of each group, merged on the way down with the prior's own."""

    kind: Literal["ladder"] = "ladder"
    network: NetworkConfig = MLPConfig()
    """One such between each two groups."""


class EnumeratedConfig(Config):
    """The exact p(z|x) of a categorical z, by Bayes' rule over all its values: no encoder."""

    kind: Literal["enumerated"] = "enumerated"


class PointPosteriorConfig(Config):
    """An autoencoder's latent: a point, no distribution."""

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
    """Three distributions and the networks that give two of them their parameters."""

    image_shape: tuple[Literal[1, 3], Side, Side]
    """(channels, height, width) of an observation; a recipe takes it from `image`."""
    latent_shape: LatentShape
    """Of one latent; most often one number, how many dimensions it has."""
    latent_groups: Annotated[tuple[LatentShape, ...], Field(max_length=16)] = ()
    """Shapes of a hierarchy's groups, the one next to x first: flattened and joined, they are z."""
    num_labels: Annotated[int, Field(ge=0, le=1000)] = 0
    """With labels, encoder, decoder and perhaps prior are conditional on y."""
    label_probabilities: tuple[PositiveFloat, ...] = ()
    """p(y); uniform when left out."""
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
        """D of bits per dim: channels x height x width."""
        return prod(self.image_shape)

    @model_validator(mode="after")
    def _parts_fit(self) -> "VAEConfig":
        for holds, invariant, remedy in _refusals(self):
            if not holds:
                raise ValueError(
                    f"{invariant}; received prior {self.prior.kind}, posterior "
                    f"{self.posterior.kind}, likelihood {self.likelihood.kind}, latent_shape "
                    f"{self.latent_shape}, latent_groups {self.latent_groups}, num_labels "
                    f"{self.num_labels}. {remedy}"
                )
        return self


def _refusals(c: VAEConfig) -> list[tuple[bool, str, str]]:
    """What must hold of the parts together, in words, and what to do where it does not."""
    return [*_refusals_of_latents(c), *_refusals_of_labels(c)]


def _refusals_of_latents(c: VAEConfig) -> list[tuple[bool, str, str]]:
    prior, posterior, flat = c.prior.kind, c.posterior.kind, len(c.latent_shape) == 1
    grouped = posterior in ("bottom_up", "ladder")
    sizes = [prod(group) for group in c.latent_groups]
    between = (getattr(c.prior, "network", None), getattr(c.posterior, "network", None))
    between_conv = any(network is not None and network.kind == "conv" for network in between)
    return [
        (
            (c.encoder is None) == (posterior == "enumerated"),
            "Every posterior but the enumerated one needs an encoder, and that one has none",
            "Add or drop vae.encoder.",
        ),
        (
            (prior == "categorical") == (posterior == "enumerated"),
            "A categorical prior and an enumerated posterior come together",
            "Change the other one too.",
        ),
        (
            len({prior == "none", posterior == "point", c.likelihood.kind == "point"}) == 1,
            "An autoencoder has no prior, a point for a posterior and one for a likelihood",
            "Name all three, or none.",
        ),
        (
            grouped == (prior == "top_down") == bool(c.latent_groups),
            "Groups of latents need a top_down prior and a bottom_up or ladder posterior",
            "Change the others too.",
        ),
        (
            not grouped or (len(sizes) >= 2 and c.latent_shape == (sum(sizes),)),
            "At least two groups, flattened and joined, are the latent",
            f"Set vae.latent_shape = [{sum(sizes)}].",
        ),
        (
            not between_conv or all(len(group) == 3 for group in c.latent_groups[:-1]),
            "A conv network between groups makes planes: all groups but the last are (channel, "
            "height, width)",
            "Reshape vae.latent_groups, or take an mlp there.",
        ),
        (
            flat or posterior not in ("full_normal", "enumerated"),
            "A full normal and a categorical latent have one axis",
            "Set vae.latent_shape = [L].",
        ),
        (
            prior != "vamp" or posterior == "diagonal_normal",
            "A VampPrior is a mixture of diagonal posteriors",
            "Set vae.posterior.kind = 'diagonal_normal', or take the prior 'mixture'.",
        ),
    ]


def _refusals_of_labels(c: VAEConfig) -> list[tuple[bool, str, str]]:
    prior, given = c.prior.kind, c.label_probabilities
    return [
        (
            prior != "label_normal" or c.num_labels > 0,
            "A prior p(z|y) needs labels",
            "Set vae.num_labels.",
        ),
        (
            c.classifier is None or c.num_labels > 0,
            "A classifier q(y|x) needs labels",
            "Set vae.num_labels.",
        ),
        (
            c.num_labels == 0 or prior not in ("vamp", "categorical", "none"),
            "Pseudo-inputs have no labels, nor have mixtures and autoencoders here",
            "Take another prior, or leave the labels out.",
        ),
        (c.num_labels != 1, "Labels are at least two", "Set vae.num_labels to 0 or more than 1."),
        (
            not given or (len(given) == c.num_labels and abs(sum(given) - 1) < 1e-6),
            "The labels' probabilities are one for each label and sum to 1",
            "Correct vae.label_probabilities, or leave it out.",
        ),
    ]
