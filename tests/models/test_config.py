"""Configs refuse what they do not know, and parts that do not fit."""

import pytest
from pydantic import ValidationError

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    ConvConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    GatedMLPConfig,
    ImageSpec,
    MLPConfig,
    NormalConfig,
    VAEConfig,
    check_fit,
)

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
        ValidationError, match=f"binarization='{binarization}' with levels={levels}"
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
        (BernoulliConfig(), dict(width=4), r"received \(1, 4, 4\) and \(1, 4, 3\)"),
        (NormalConfig(), {}, "A normal likelihood takes unit values"),
        (ContinuousBernoulliConfig(), {}, "A continuous_bernoulli likelihood takes unit values"),
        (DiscretizedNormalConfig(), dict(values="unit"), "takes integer values"),
        (BernoulliConfig(), {}, "has 2 levels; the image spec makes 256"),
        (DiscretizedLogisticConfig(levels=17), {}, "has 17 levels; the image spec makes 256"),
        (DiscretizedNormalConfig(levels=9), dict(levels=17), "has 9 levels; the image spec"),
    ],
)
def test_an_image_spec_that_does_not_fit_is_refused(likelihood, fields, message):
    with pytest.raises(ValueError, match=message):
        check_fit(vae_config(likelihood=likelihood), spec(**fields))
