"""What a model can do follows from its distributions, and every need is met or has its reason."""

from typing import get_args

import pytest

from app.operations.table import OPERATIONS, Need
from app.serving.capabilities import abilities, unmet_needs
from models.estimators.exact import has_exact_posterior
from models.vae.model import VAE
from tests.app.family_repository import exact_oracle
from tests.app.repository import random_vae
from tests.models.family_cases import FAMILIES, family
from training.evaluation.good_pictures import can_score

UNLABELLED: tuple[Need, ...] = ("labels", "classes", "label_posterior")


def lacks_of(vae: VAE) -> dict[Need, str]:
    exact = has_exact_posterior(vae)
    kept: set[Need] = {"examples", "map"} | ({"good_pictures"} if can_score(vae) else set())
    return unmet_needs(vae.config, exact_posterior=exact, kept=kept)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_need_is_met_or_has_its_reason(name: str) -> None:
    lacks = lacks_of(random_vae(family(name)))
    assert abilities(lacks) | lacks.keys() == set(get_args(Need))
    assert abilities(lacks).isdisjoint(lacks)
    assert all(lacks.values())


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("standard", {*UNLABELLED, "exact_posterior"}),
        ("m2", {"exact_posterior"}),
        ("labelled", {"exact_posterior", "label_posterior"}),
        ("categorical", {"encoder", "good_pictures", "labels", "map", "standard_normal_prior"}),
        ("autoencoder", set(get_args(Need)) - {"encoder", "decoder", "examples", "map"}),
        ("ladder", {*UNLABELLED, "standard_normal_prior", "exact_posterior", "map"}),
    ],
)
def test_each_family_lacks_what_its_distributions_lack(name: str, missing: set[str]) -> None:
    assert lacks_of(random_vae(family(name))).keys() == missing


def test_an_exact_posterior_is_found_in_the_weights() -> None:
    assert "exact_posterior" in abilities(lacks_of(exact_oracle().vae))


def test_operations_need_what_exists() -> None:
    for operation in OPERATIONS.values():
        assert {*operation.needs, *operation.option_needs.values()} <= set(get_args(Need))
