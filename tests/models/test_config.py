"""Configs refuse what they do not know, and parts that do not fit."""

import math

import pytest
import torch
from pydantic import ValidationError

from models import vae_config as whole
from models.config import (
    AutoencoderKLConfig,
    ConvConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    GatedMLPConfig,
    MLPConfig,
    NormalConfig,
)
from models.errors import ConfigError
from models.estimators.elbo import estimate_elbo
from models.images.spec import ImageSpec
from models.vae import VAE
from models.vae_config import VAEConfig
from tests.models.config_cases import LIKELIHOODS, vae_config
from tests.models.family_cases import FAMILIES, family


@pytest.mark.parametrize(
    "config",
    [
        vae_config(likelihood=likelihood, encoder=encoder, decoder=decoder)
        for likelihood in LIKELIHOODS
        for encoder, decoder in [
            (MLPConfig(), GatedMLPConfig()),
            (ConvConfig(), ConvConfig(channels=(4,), blocks=(0,))),
        ]
    ],
    ids=lambda config: f"{config.likelihood.kind}-{config.encoder.kind}",
)
def test_a_config_survives_json(config):
    assert VAEConfig.model_validate_json(config.model_dump_json(), strict=True) == config


def test_a_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        vae_config().num_labels = 5


@pytest.mark.parametrize("cls", [ImageSpec, VAEConfig, MLPConfig, NormalConfig])
def test_an_unknown_field_is_refused(cls):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        cls(colour="red")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("likelihood", {"kind": "poisson"}),
        ("prior", {"kind": "horseshoe"}),
        ("posterior", {"kind": "flow"}),
        ("encoder", {"kind": "transformer"}),
        ("image_shape", (2, 4, 3)),
        ("image_shape", (1, 0, 3)),
        ("image_shape", (1, 4097, 3)),
        ("latent_shape", ()),
        ("latent_shape", (0,)),
        ("latent_shape", (1, 1, 1, 1)),
    ],
)
def test_an_unknown_kind_or_impossible_shape_is_refused(part, value):
    with pytest.raises(ValidationError):
        vae_config(**{part: value})


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (MLPConfig, {"hidden": (0,)}),
        (MLPConfig, {"hidden": (1,) * 17}),
        (MLPConfig, {"dropout": 1.0}),
        (MLPConfig, {"dropout": -0.1}),
        (MLPConfig, {"activation": "sine"}),
        (GatedMLPConfig, {"hidden": ()}),
        (ConvConfig, {"channels": (), "blocks": ()}),
        (AutoencoderKLConfig, {"channels": (64, 40)}),
        (AutoencoderKLConfig, {"blocks": 0}),
        (ConvConfig, {"channels": (8,), "blocks": (-1,)}),
        (NormalConfig, {"fixed_scale": 0.0}),
        (NormalConfig, {"fixed_scale": float("inf")}),
        (NormalConfig, {"fixed_scale": float("nan")}),
        (DiscretizedLogisticConfig, {"levels": 1}),
        (DiscretizedLogisticConfig, {"num_mixtures": 0}),
        (DiscretizedNormalConfig, {"levels": 65537}),
        (ImageSpec, {"channels": 4, "height": 1, "width": 1}),
    ],
)
def test_a_value_out_of_range_is_refused(cls, fields):
    with pytest.raises(ValidationError):
        cls(**fields)


def test_a_conv_network_has_one_count_of_blocks_per_resolution():
    with pytest.raises(
        ValidationError,
        match=r"blocks = \[1\] and channels = \[8, 16\] differ.*Set blocks = \[1, 1\]",
    ):
        ConvConfig(channels=(8, 16), blocks=(1,))


def test_the_number_of_dimensions_is_that_of_all_pixels_and_channels():
    assert vae_config(image_shape=(3, 4, 5)).num_dimensions == 60


# Parts that do not go together


GROUPS = dict(latent_shape=(5,), latent_groups=((3,), (2,)))
TOP_DOWN = {"kind": "top_down"}
LADDER = {"kind": "ladder"}
CONV = {"kind": "conv"}
LOGISTIC = DiscretizedLogisticConfig()


CATEGORICAL = dict(prior={"kind": "categorical"}, posterior={"kind": "enumerated"}, encoder=None)
AUTOENCODER = dict(
    prior={"kind": "none"}, posterior={"kind": "point"}, likelihood={"kind": "point"}
)
KL = {"kind": "autoencoder_kl", "channels": (32, 32)}
IMPORTED = dict(
    encoder=KL,
    decoder=KL,
    prior={"kind": "none"},
    likelihood={"kind": "point"},
    image_shape=(1, 4, 6),
    latent_shape=(1, 2, 3),
)
REFUSED = [
    (
        dict(encoder=None),
        "vae.encoder is missing: vae.posterior.kind = 'diagonal_normal' needs one. Set "
        "vae.encoder.kind = 'mlp'.",
    ),
    (
        dict(prior={"kind": "categorical"}, posterior={"kind": "enumerated"}),
        "vae.encoder has no use: vae.posterior.kind = 'enumerated' is made by the decoder. Leave "
        "vae.encoder out.",
    ),
    (
        dict(prior={"kind": "categorical"}),
        "vae.posterior.kind = 'diagonal_normal' does not go with vae.prior.kind = 'categorical'. "
        "Set vae.posterior.kind = 'enumerated', or change vae.prior.kind.",
    ),
    (
        dict(posterior={"kind": "enumerated"}, encoder=None),
        "vae.prior.kind = 'standard_normal' does not go with vae.posterior.kind = 'enumerated'. "
        "Set vae.prior.kind = 'categorical', or change vae.posterior.kind.",
    ),
    (
        dict(prior={"kind": "none"}),
        "vae.posterior.kind = 'diagonal_normal' does not go with vae.prior.kind = 'none'. Set "
        "vae.posterior.kind = 'point' and vae.likelihood.kind = 'point', or change vae.prior.kind.",
    ),
    (
        dict(posterior={"kind": "point"}),
        "vae.prior.kind = 'standard_normal' does not go with vae.posterior.kind = 'point'.",
    ),
    (
        dict(likelihood={"kind": "point"}),
        "vae.prior.kind = 'standard_normal' does not go with vae.likelihood.kind = 'point'.",
    ),
    (
        GROUPS,
        "vae.prior.kind = 'standard_normal' does not go with vae.latent_groups = [[3], [2]]. Set "
        "vae.prior.kind = 'top_down' and vae.posterior.kind = 'ladder' or 'bottom_up', or change "
        "vae.latent_groups.",
    ),
    (
        dict(prior=TOP_DOWN),
        "vae.posterior.kind = 'diagonal_normal' does not go with vae.prior.kind = 'top_down'. Set "
        "vae.posterior.kind = 'ladder' or 'bottom_up' and vae.latent_groups = [[8], [4]], or "
        "change vae.prior.kind.",
    ),
    (
        dict(posterior=LADDER),
        "vae.prior.kind = 'standard_normal' does not go with vae.posterior.kind = 'ladder'.",
    ),
    (
        dict(**GROUPS, prior=TOP_DOWN),
        "vae.posterior.kind = 'diagonal_normal' does not go with vae.prior.kind = 'top_down'.",
    ),
    (
        dict(**GROUPS, prior=TOP_DOWN, posterior={"kind": "full_normal"}),
        "vae.posterior.kind = 'full_normal' does not go with vae.prior.kind = 'top_down'.",
    ),
    (
        dict(GROUPS, latent_shape=(6,), prior=TOP_DOWN, posterior=LADDER),
        "vae.latent_shape = [6] does not fit vae.latent_groups = [[3], [2]], which hold 5 numbers. "
        "Set vae.latent_shape = [5].",
    ),
    (
        dict(latent_shape=(3,), latent_groups=((3,),), prior=TOP_DOWN, posterior=LADDER),
        "vae.latent_groups = [[3]] is one group; a hierarchy has two or more. Set "
        "vae.latent_groups = [[3], [2]] and vae.latent_shape = [5].",
    ),
    (
        dict(**GROUPS, prior={**TOP_DOWN, "network": CONV}, posterior=LADDER),
        "vae.prior.network.kind = 'conv' cannot make the group [3] of vae.latent_groups. Set "
        "vae.prior.network.kind = 'mlp', or shape all groups but the last [channel, height, width]",
    ),
    (
        dict(**GROUPS, prior=TOP_DOWN, posterior={**LADDER, "network": CONV}),
        "vae.posterior.network.kind = 'conv' cannot make the group [3]",
    ),
    (
        dict(IMPORTED, latent_shape=(1, 4, 3)),
        "vae.latent_shape = [1, 4, 3] does not fit vae.image_shape = [1, 4, 6]: an autoencoder_kl "
        "of 2 resolutions divides height and width by 2. Set vae.latent_shape = [1, 2, 3].",
    ),
    (
        dict(IMPORTED, image_shape=(1, 5, 6)),
        "vae.latent_shape = [1, 2, 3] does not fit vae.image_shape = [1, 5, 6]: an autoencoder_kl "
        "of 2 resolutions divides height and width by 2. Set vae.latent_shape = [1, 2, 3] and "
        "vae.image_shape = [1, 4, 6].",
    ),
    (
        dict(IMPORTED, posterior={"kind": "point"}),
        "vae.posterior.kind = 'point' does not go with vae.encoder.kind = 'autoencoder_kl'. Set "
        "vae.posterior.kind = 'diagonal_normal', or change vae.encoder.kind.",
    ),
    (
        dict(IMPORTED, decoder=MLPConfig()),
        "vae.decoder.kind = 'mlp' does not go with vae.encoder.kind = 'autoencoder_kl'.",
    ),
    (
        dict(num_labels=3, classifier=KL),
        "vae.classifier.kind = 'autoencoder_kl' is a network of vae.encoder and vae.decoder alone. "
        "Set vae.classifier.kind = 'conv'.",
    ),
    (
        dict(**GROUPS, prior={**TOP_DOWN, "network": KL}, posterior=LADDER),
        "vae.prior.network.kind = 'autoencoder_kl' is a network of vae.encoder and vae.decoder",
    ),
    (
        dict(latent_shape=(2, 2), posterior={"kind": "full_normal"}),
        "vae.latent_shape = [2, 2] has 2 axes; vae.posterior.kind = 'full_normal' takes one. Set "
        "vae.latent_shape = [4].",
    ),
    (
        dict(CATEGORICAL, latent_shape=(2, 2)),
        "vae.latent_shape = [2, 2] has 2 axes; vae.posterior.kind = 'enumerated' takes one.",
    ),
    (
        dict(prior={"kind": "vamp"}, posterior={"kind": "full_normal"}),
        "vae.posterior.kind = 'full_normal' does not go with vae.prior.kind = 'vamp'. Set "
        "vae.posterior.kind = 'diagonal_normal', or vae.prior.kind = 'mixture'.",
    ),
    (
        dict(prior={"kind": "label_normal"}),
        "vae.num_labels = 0 is too few for vae.prior.kind = 'label_normal'. Set vae.num_labels to "
        "the number of classes, 2 or more.",
    ),
    (
        dict(classifier=MLPConfig()),
        "vae.num_labels = 0 is too few for vae.classifier. Set vae.num_labels to",
    ),
    (
        dict(num_labels=3, prior={"kind": "vamp"}),
        "vae.num_labels = 3 does not go with vae.prior.kind = 'vamp', which takes no labels. Set "
        "vae.num_labels = 0, or vae.prior.kind = 'standard_normal'.",
    ),
    (
        dict(CATEGORICAL, num_labels=3),
        "vae.num_labels = 3 does not go with vae.prior.kind = 'categorical'",
    ),
    (
        dict(AUTOENCODER, num_labels=3),
        "vae.num_labels = 3 does not go with vae.prior.kind = 'none'",
    ),
    (
        dict(num_labels=1),
        "vae.num_labels = 1 leaves nothing to tell apart. Set vae.num_labels to 2 or more, or 0 "
        "for no labels.",
    ),
    (
        dict(num_labels=2, label_probabilities=(0.2, 0.3, 0.5)),
        "vae.label_probabilities = [0.2, 0.3, 0.5] holds 3 numbers, but vae.num_labels = 2. Give "
        "one for each label, or leave it out.",
    ),
    (
        dict(num_labels=2, label_probabilities=(0.2, 0.3)),
        "vae.label_probabilities = [0.2, 0.3] sums to 0.5, not to 1. Set vae.label_probabilities = "
        "[0.4, 0.6].",
    ),
    (dict(label_probabilities=(1.0,)), "vae.label_probabilities = [1.0] holds 1 numbers"),
    (
        dict(principal_path=True),
        "vae.principal_path = True does not go with vae.likelihood.kind = 'bernoulli', which has "
        "no location on the scale of levels. Set vae.principal_path = false, or "
        "vae.likelihood.kind = 'discretized_logistic'.",
    ),
    (
        dict(GROUPS, principal_path=True, likelihood=LOGISTIC, prior=TOP_DOWN, posterior=LADDER),
        "vae.principal_path = True does not go with vae.posterior.kind = 'ladder'. Set "
        "vae.principal_path = false, or vae.posterior.kind = 'diagonal_normal'.",
    ),
    (
        dict(principal_path=True, likelihood=LOGISTIC, latent_shape=(2, 3)),
        "vae.principal_path = True does not go with vae.latent_shape = [2, 3]: components have one "
        "axis. Set vae.principal_path = false, or vae.latent_shape = [6].",
    ),
]


def refusal(fields):
    """What is wrong with a config, as the error that its rule raised; None where nothing is."""
    try:
        vae_config(**fields)
    except ValidationError as error:
        (first,) = error.errors()
        return first["ctx"]["error"]
    return None


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_parts_that_do_not_go_together_are_refused_with_their_values_and_a_fix(fields, message):
    fault = refusal(fields)
    assert isinstance(fault, ConfigError)
    assert str(fault).startswith(message)
    assert str(fault).count(". ") <= 2  # at most three sentences
    assert str(fault).startswith(fault.details["parameter"])


def test_every_rule_refuses_something_that_no_other_does(monkeypatch):
    for rule in whole._RULES:
        with monkeypatch.context() as patch:
            patch.setattr(whole, "_RULES", tuple(r for r in whole._RULES if r is not rule))
            assert any(refusal(fields) is None for fields, _ in REFUSED)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_survives_json(name):
    config = family(name)
    assert VAEConfig.model_validate_json(config.model_dump_json(), strict=True) == config


@pytest.mark.parametrize("prior", ["standard_normal", "mixture", "vamp", "label_normal"])
@pytest.mark.parametrize("posterior", ["diagonal_normal", "full_normal"])
@pytest.mark.parametrize("num_labels", [0, 3])
@pytest.mark.parametrize("latent_shape", [(2,), (2, 2)])
def test_what_a_config_accepts_can_be_built(prior, posterior, num_labels, latent_shape):
    fields = dict(
        prior={"kind": prior},
        posterior={"kind": posterior},
        num_labels=num_labels,
        latent_shape=latent_shape,
        classifier=MLPConfig() if num_labels else None,
    )
    try:
        config = vae_config(**fields)
    except ValidationError:
        return
    vae = VAE(config).eval()
    x = torch.zeros(2, *config.image_shape)
    assert bool(estimate_elbo(vae, x, num_samples=2, seed=0).elbo_nats.isfinite().all())


@pytest.mark.parametrize("network", [MLPConfig(hidden=(3,)), ConvConfig()], ids=["mlp", "conv"])
@pytest.mark.parametrize("posterior", ["bottom_up", "ladder"])
@pytest.mark.parametrize("groups", [((3,), (2,)), ((2, 2, 2), (3,)), ((2, 2, 2), (1, 2, 2), (1,))])
def test_what_a_config_of_groups_accepts_can_be_built(groups, posterior, network):
    fields = dict(
        latent_shape=(sum(math.prod(group) for group in groups),),
        latent_groups=groups,
        prior={"kind": "top_down", "network": network},
        posterior={"kind": posterior, "network": network},
        image_shape=(1, 8, 8),
    )
    try:
        config = vae_config(**fields)
    except ValidationError:
        assert (network.kind, len(groups[0])) == ("conv", 1)
        return
    vae = VAE(config).eval()
    x = torch.zeros(2, *config.image_shape)
    assert bool(estimate_elbo(vae, x, num_samples=2, seed=0).elbo_nats.isfinite().all())
