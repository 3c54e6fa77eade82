"""What studies require of their models, and what they say where it is not met."""

from dataclasses import replace

import pytest

from models.errors import ConfigError, UnsupportedOperation
from tests import oracle
from tests.training.conftest import RECIPE
from tests.training.trained_cases import of_family, of_oracle
from training.studies.requirements import (
    require_density,
    require_dimensions,
    require_recipe,
    require_same_images,
)


def test_an_autoencoder_has_no_density_and_a_mixture_no_dimensions() -> None:
    require_density(of_family("standard"))
    require_dimensions(of_family("autoencoder"))
    with pytest.raises(UnsupportedOperation, match="autoencoder is an autoencoder: it has"):
        require_density(of_family("autoencoder"))
    with pytest.raises(UnsupportedOperation, match="categorical is a mixture model"):
        require_dimensions(of_family("categorical"))


def test_a_recipe_is_that_of_a_run() -> None:
    assert require_recipe(of_family("standard")) == RECIPE
    with pytest.raises(ConfigError, match=r"standard is a bundle.*Name the run's folder, such as"):
        require_recipe(of_family("standard", recipe=None))


def test_other_images_or_another_scale_do_not_compare() -> None:
    first, other = of_family("standard"), of_family("vamp")
    require_same_images(first, other)
    with pytest.raises(ConfigError, match=r"standard and vamp score different .*Score them apart"):
        require_same_images(first, replace(other, x=1 - other.x))
    with pytest.raises(ConfigError, match=r"n = 12, 1x4x4, .* n = 5, 1x4x4, 2 levels, integer"):
        require_same_images(first, replace(other, x=other.x[:5], labels=None))
    instance = oracle.instance("easy")
    density = of_oracle(instance, first.x)
    with pytest.raises(ConfigError, match="standard scores probabilities and oracle densities"):
        require_same_images(density, first)
