"""Latents: what may be sent, and the groups of a hierarchy."""

import numpy as np
import pytest

from app.compute.latents import check_latents, latent_groups
from app.serving.capabilities import example_latents
from models.errors import OutOfSupport, ShapeMismatch
from tests.app.repository import random_vae
from tests.models.family_cases import family


@pytest.mark.parametrize(
    ("shape", "fix", "suggestion"),
    [
        ((5, 3), "Send what encode or sample gives.", None),
        (
            (2, 5),
            "If the batch is last, send numpy.moveaxis(latents, -1, 0).",
            "numpy.moveaxis(latents, -1, 0)",
        ),
        ((5,), "Send what encode or sample gives.", None),
        ((4,), "Send latents.reshape(-1, 2).", "latents.reshape(-1, 2)"),
        ((2,), "Send latents.reshape(-1, 2).", "latents.reshape(-1, 2)"),
        ((2, 2, 1), "Send latents.reshape(-1, 2).", "latents.reshape(-1, 2)"),
    ],
)
def test_latents_of_another_shape_are_refused_with_the_shape_that_is_taken(
    shape: tuple[int, ...], fix: str, suggestion: str | None
) -> None:
    with pytest.raises(ShapeMismatch) as refused:
        check_latents(np.zeros(shape), random_vae(family("standard")))
    assert str(refused.value) == (f"latents have the shape {shape}; this model takes (N, 2). {fix}")
    assert refused.value.details["parameter"] == "latents"
    assert refused.value.details["received"] == list(shape)
    assert refused.value.details["allowed"] == ["N", 2]
    assert refused.value.details.get("suggestion") == suggestion


def test_latents_that_are_not_finite_as_float32_are_refused_by_their_index() -> None:
    latents = np.array([[0.0, 0.0], [1e39, 0.0], [np.nan, 0.0]])
    with pytest.raises(OutOfSupport, match=r"latents\[1\] \(and 1 more\) is not finite") as refused:
        check_latents(latents, random_vae(family("standard")))
    assert [index for index, _ in refused.value.items] == [1, 2]


def test_a_mixtures_latents_are_unit_vectors() -> None:
    vae = random_vae(family("categorical", latent_shape=(3,)))
    check_latents(np.eye(3), vae)
    check_latents(example_latents(vae.config), vae)
    for wrong in ([0.5, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]):
        with pytest.raises(OutOfSupport) as refused:
            check_latents(np.array([[0.0, 1.0, 0.0], wrong]), vae)
        assert refused.value.items == ((1, "no unit vector"),)


def test_groups_are_slices_of_the_latent_in_order() -> None:
    assert latent_groups(random_vae(family("standard"))) == []
    assert latent_groups(random_vae(family("conv-ladder"))) == [
        {"name": "z1", "start": 0, "stop": 8, "shape": [2, 2, 2]},
        {"name": "z2", "start": 8, "stop": 10, "shape": [2]},
    ]
