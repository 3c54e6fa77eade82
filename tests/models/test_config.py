"""Configs refuse what they do not know, and parts that do not fit."""

import math

import pytest
import torch
from pydantic import ValidationError

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    ConvConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    GatedMLPConfig,
    MLPConfig,
    NormalConfig,
    VAEConfig,
    _refusals,
)
from models.estimators.elbo import estimate_elbo
from models.images.spec import ImageSpec, check_fit
from models.vae.model import VAE
from tests.models.family_cases import FAMILIES, family

LIKELIHOODS = [
    BernoulliConfig(),
    ContinuousBernoulliConfig(),
    DiscretizedLogisticConfig(levels=17),
    DiscretizedNormalConfig(levels=17),
    NormalConfig(),
]
FITTING = [
    dict(levels=2, binarization="threshold"),
    dict(values="unit"),
    dict(levels=17),
    dict(levels=17),
    dict(values="unit"),
]


def vae_config(**fields):
    defaults = dict(
        image_shape=(1, 4, 3),
        latent_shape=(2,),
        likelihood=BernoulliConfig(),
        encoder=MLPConfig(hidden=(3,)),
        decoder=MLPConfig(hidden=(3,)),
    )
    return VAEConfig(**{**defaults, **fields})


def spec(**fields):
    return ImageSpec(**{**dict(channels=1, height=4, width=3), **fields})


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
        spec().height = 5


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
    with pytest.raises(ValidationError, match=r"channels=\(8, 16\) and blocks=\(1,\)"):
        ConvConfig(channels=(8, 16), blocks=(1,))


@pytest.mark.parametrize(
    ("levels", "binarization"), [(2, "none"), (256, "threshold"), (256, "stochastic")]
)
def test_an_image_spec_has_a_binarization_exactly_with_two_levels(levels, binarization):
    with pytest.raises(
        ValidationError, match=f"binarization = '{binarization}' does not go with levels = {levels}"
    ):
        spec(levels=levels, binarization=binarization)


def test_shapes_and_the_number_of_dimensions():
    assert spec().shape == (1, 4, 3)
    assert vae_config(image_shape=(3, 4, 5)).num_dimensions == 60


@pytest.mark.parametrize(
    ("likelihood", "fields"),
    list(zip(LIKELIHOODS, FITTING, strict=True)),
    ids=lambda v: str(v)[:25],
)
def test_a_fitting_image_spec_is_accepted(likelihood, fields):
    check_fit(vae_config(likelihood=likelihood), spec(**fields))


@pytest.mark.parametrize(
    ("likelihood", "fields", "message"),
    [
        (BernoulliConfig(), dict(width=4), r"shape \(1, 4, 4\); vae.image_shape is \(1, 4, 3\)"),
        (NormalConfig(), {}, "does not suit a normal likelihood. Set image.values = 'unit'"),
        (ContinuousBernoulliConfig(), {}, "Set image.values = 'unit'"),
        (DiscretizedNormalConfig(), dict(values="unit"), "Set image.values = 'integer'"),
        (BernoulliConfig(), {}, 'Set image.levels = 2 and image.binarization = "stochastic"'),
        (DiscretizedLogisticConfig(levels=17), {}, "Set image.levels = 17"),
        (
            DiscretizedNormalConfig(levels=9),
            dict(levels=17),
            "levels = 17 does not .* Set image.levels = 9",
        ),
    ],
)
def test_an_image_spec_that_does_not_fit_is_refused(likelihood, fields, message):
    with pytest.raises(ValueError, match=message):
        check_fit(vae_config(likelihood=likelihood), spec(**fields))


# Parts that do not go together


GROUPS = dict(latent_shape=(5,), latent_groups=((3,), (2,)))
TOP_DOWN = {"kind": "top_down"}
LADDER = {"kind": "ladder"}
CONV = {"kind": "conv"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(encoder=None), "Every posterior but the enumerated one needs an encoder"),
        (
            dict(prior={"kind": "categorical"}, posterior={"kind": "enumerated"}),
            "Every posterior but the enumerated one needs an encoder, and that one has none",
        ),
        (
            dict(prior={"kind": "categorical"}),
            "A categorical prior and an enumerated posterior come together",
        ),
        (
            dict(posterior={"kind": "enumerated"}, encoder=None),
            "A categorical prior and an enumerated posterior come together",
        ),
        (dict(prior={"kind": "none"}), "An autoencoder has no prior, a point for a posterior"),
        (dict(posterior={"kind": "point"}), "An autoencoder has no prior"),
        (dict(likelihood={"kind": "point"}), "An autoencoder has no prior"),
        (GROUPS, "Groups of latents need a top_down prior and a bottom_up or ladder posterior"),
        (dict(prior=TOP_DOWN), "Groups of latents need a top_down prior"),
        (dict(posterior=LADDER), "Groups of latents need a top_down prior"),
        (dict(**GROUPS, prior=TOP_DOWN), "Groups of latents need a top_down prior"),
        (
            dict(**GROUPS, prior=TOP_DOWN, posterior={"kind": "full_normal"}),
            "Groups of latents need a top_down prior",
        ),
        (
            dict(GROUPS, latent_shape=(6,), prior=TOP_DOWN, posterior=LADDER),
            r"At least two groups, flattened and joined, are the latent.*latent_shape = \[5\]",
        ),
        (
            dict(latent_shape=(3,), latent_groups=((3,),), prior=TOP_DOWN, posterior=LADDER),
            "At least two groups",
        ),
        (
            dict(**GROUPS, prior={**TOP_DOWN, "network": CONV}, posterior=LADDER),
            r"A conv network between groups makes planes.*\(channel, height, width\).*take an mlp",
        ),
        (
            dict(**GROUPS, prior=TOP_DOWN, posterior={**LADDER, "network": CONV}),
            "A conv network between groups makes planes",
        ),
        (
            dict(latent_shape=(2, 2), posterior={"kind": "full_normal"}),
            r"A full normal and a categorical latent have one axis.*latent_shape = \[L\]",
        ),
        (
            dict(
                latent_shape=(2, 2),
                prior={"kind": "categorical"},
                posterior={"kind": "enumerated"},
                encoder=None,
            ),
            "A full normal and a categorical latent have one axis",
        ),
        (
            dict(prior={"kind": "vamp"}, posterior={"kind": "full_normal"}),
            "A VampPrior is a mixture of diagonal posteriors.*take the prior 'mixture'",
        ),
        (dict(prior={"kind": "label_normal"}), r"A prior p\(z\|y\) needs labels"),
        (dict(classifier=MLPConfig()), r"A classifier q\(y\|x\) needs labels"),
        (dict(num_labels=3, prior={"kind": "vamp"}), "Pseudo-inputs have no labels"),
        (
            dict(
                num_labels=3,
                prior={"kind": "categorical"},
                posterior={"kind": "enumerated"},
                encoder=None,
            ),
            "nor have mixtures and autoencoders here.*leave the labels out",
        ),
        (
            dict(
                num_labels=3,
                prior={"kind": "none"},
                posterior={"kind": "point"},
                likelihood={"kind": "point"},
            ),
            "nor have mixtures and autoencoders here",
        ),
        (dict(num_labels=1), "Labels are at least two.*to 0 or more than 1"),
        (
            dict(num_labels=2, label_probabilities=(0.2, 0.3, 0.5)),
            "The labels' probabilities are one for each label and sum to 1",
        ),
        (dict(num_labels=2, label_probabilities=(0.2, 0.3)), "one for each label and sum to 1"),
        (dict(label_probabilities=(1.0,)), "one for each label and sum to 1"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_with_the_reason(fields, message):
    with pytest.raises(ValidationError, match=message) as caught:
        vae_config(**fields)
    assert "received prior " in str(caught.value)
    assert f"num_labels {fields.get('num_labels', 0)}." in str(caught.value)


def test_every_refusal_is_tested():
    invariants = {words for _, words, _ in _refusals(vae_config())}
    (marker,) = (
        m
        for m in test_parts_that_do_not_go_together_are_refused_with_the_reason.pytestmark
        if m.name == "parametrize"
    )
    found = set()
    for fields, _ in marker.args[1]:
        with pytest.raises(ValidationError) as caught:
            vae_config(**fields)
        found |= {words for words in invariants if words in str(caught.value)}
    assert found == invariants


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


def test_an_autoencoders_image_spec_has_unit_values():
    config = family("autoencoder", image_shape=(1, 4, 3))
    check_fit(config, spec(values="unit"))
    with pytest.raises(ValueError, match="does not suit a point likelihood"):
        check_fit(config, spec())
