"""An image spec is whole in itself, and fits the likelihood of its VAE."""

import pytest
from pydantic import ValidationError

from models.config import (
    BernoulliConfig,
    ContinuousBernoulliConfig,
    DiscretizedLogisticConfig,
    DiscretizedNormalConfig,
    NormalConfig,
)
from models.images.spec import ImageSpec, check_fit
from tests.models.config_cases import LIKELIHOODS, vae_config
from tests.models.family_cases import family

FITTING = [
    dict(levels=2, binarization="threshold"),
    dict(values="unit"),
    dict(levels=17),
    dict(levels=17),
    dict(values="unit"),
]


def spec(**fields):
    return ImageSpec(**{**dict(channels=1, height=4, width=3), **fields})


def test_an_image_spec_is_frozen_and_has_a_shape():
    assert spec().shape == (1, 4, 3)
    with pytest.raises(ValidationError, match="frozen"):
        spec().height = 5


@pytest.mark.parametrize(
    ("levels", "binarization"), [(2, "none"), (256, "threshold"), (256, "stochastic")]
)
def test_an_image_spec_has_a_binarization_exactly_with_two_levels(levels, binarization):
    with pytest.raises(
        ValidationError, match=f"binarization = '{binarization}' does not go with levels = {levels}"
    ):
        spec(levels=levels, binarization=binarization)


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


def test_an_autoencoders_image_spec_has_unit_values():
    config = family("autoencoder", image_shape=(1, 4, 3))
    check_fit(config, spec(values="unit"))
    with pytest.raises(ValueError, match="does not suit a point likelihood"):
        check_fit(config, spec())
