"""The config of a whole VAE, and the rules by which its parts go together.

The parts are in `config.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from models.config import (
    AutoencoderKLConfig,
    Config,
    DiagonalNormalConfig,
    LikelihoodConfig,
    NetworkConfig,
    PosteriorConfig,
    PriorConfig,
    Side,
    StandardNormalConfig,
)
from models.errors import ConfigError

_OF_LEVELS = ("discretized_logistic", "discretized_normal")
"""Likelihoods whose locations are on the scale of levels, where level 0 is -1 and the highest 1."""
_WITH_A_LOCATION = ("diagonal_normal", "full_normal")
"""Posteriors of one location, which the encoder gives first."""

_KL = "autoencoder_kl"
"""The networks of models that are imported from diffusers."""

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
    principal_path: bool = False
    """Let both networks correct a PCA of training pictures with as many components as latents."""

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
    networks = [
        _Entry(f"vae.{name}.kind", getattr(network, "kind", None), (_KL,))
        for name, network in (("encoder", c.encoder), ("decoder", c.decoder))
    ]
    of_networks = any(network.received == _KL for network in networks)
    of_points = [
        _Entry(*prior, ("none",)),
        _Entry(*posterior, ("diagonal_normal",) if of_networks else ("point",)),
        _Entry(*likelihood, ("point",)),
    ]
    yield [_Entry(*prior, ("categorical",)), _Entry(*posterior, ("enumerated",))]
    yield [*networks, *of_points] if of_networks else of_points
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


def _halvings_rule(c: VAEConfig) -> Iterator[ConfigError]:
    latent, sides = list(c.latent_shape), c.image_shape[1:]
    for network in (c.encoder, c.decoder):
        if not isinstance(network, AutoencoderKLConfig):
            continue
        factor = 2 ** (len(network.channels) - 1)
        fitting = [max(factor, side - side % factor) for side in sides]
        wanted = [latent[0], *(side // factor for side in fitting)]
        if latent != wanted or list(sides) != fitting:
            words = f"does not fit vae.image_shape = {list(c.image_shape)}: an {_KL} of "
            words += f"{len(network.channels)} resolutions divides height and width by {factor}. "
            words += f"Set vae.latent_shape = {wanted}"
            if list(sides) != fitting:
                words += f" and vae.image_shape = {[c.image_shape[0], *fitting]}"
            yield _fault("vae.latent_shape", latent, f"{words}.", suggestion=wanted)


def _network_rule(c: VAEConfig) -> Iterator[ConfigError]:
    owners = {"vae.prior.network": c.prior, "vae.posterior.network": c.posterior}
    networks = {name: getattr(part, "network", None) for name, part in owners.items()}
    for name, network in {**networks, "vae.classifier": c.classifier}.items():
        if network is not None and network.kind == _KL:
            words = f"is a network of vae.encoder and vae.decoder alone. Set {name}.kind = 'conv'."
            yield _fault(f"{name}.kind", _KL, words, suggestion="conv")


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


def may_have_principal_path(vae: Mapping[str, Any]) -> bool:
    """Whether a model with these entries, the kinds of its parts among them, may have one."""
    parts = (vae.get(name) for name in ("likelihood", "posterior"))
    likelihood, posterior = (
        part.get("kind") if isinstance(part, Mapping) else None for part in parts
    )
    latents = vae.get("latent_shape")
    is_flat = isinstance(latents, list | tuple) and len(latents) == 1
    return likelihood in _OF_LEVELS and posterior in (None, *_WITH_A_LOCATION) and is_flat


def _principal_rule(c: VAEConfig) -> Iterator[ConfigError]:
    name, has = "vae.principal_path", c.principal_path
    likelihood, posterior = c.likelihood.kind, c.posterior.kind
    if has and likelihood not in _OF_LEVELS:
        words = f"does not go with vae.likelihood.kind = {likelihood!r}, which has no location on "
        words += f"the scale of levels. Set {name} = false, or vae.likelihood.kind = "
        yield _fault(name, has, f"{words}'discretized_logistic'.", suggestion=False)
    if has and posterior not in _WITH_A_LOCATION:
        words = f"does not go with vae.posterior.kind = {posterior!r}. Set {name} = false, or "
        yield _fault(name, has, f"{words}vae.posterior.kind = 'diagonal_normal'.", suggestion=False)
    if has and len(c.latent_shape) > 1:
        words = f"does not go with vae.latent_shape = {list(c.latent_shape)}: components have one "
        words += f"axis. Set {name} = false, or vae.latent_shape = [{prod(c.latent_shape)}]."
        yield _fault(name, has, words, suggestion=False)


_RULES: tuple[Callable[[VAEConfig], Iterator[ConfigError]], ...] = (
    _encoder_rule,
    _inseparable_rule,
    _halvings_rule,
    _network_rule,
    _groups_rule,
    _posterior_rule,
    _labels_rule,
    _label_probabilities_rule,
    _principal_rule,
)
"""Each yields what is wrong with parts that do not go together."""
