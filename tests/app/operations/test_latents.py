"""Arrays of latents, told by their shape."""

import pytest

from app.operations.latents import are_latents, explain_latents


@pytest.mark.parametrize(
    ("shape", "latent_shape", "suggestion"),
    [
        ((5, 3), (3,), None),
        ((5, 4, 8, 8), (4, 8, 8), None),
        ((15,), (3,), "latents.reshape(-1, 3)"),
        ((0,), (3,), None),
        ((4, 8, 8), (4, 8, 8), "latents.reshape(-1, 4, 8, 8)"),
        ((5, 256), (4, 8, 8), "latents.reshape(-1, 4, 8, 8)"),
        ((4, 8, 8, 5), (4, 8, 8), "numpy.moveaxis(latents, -1, 0)"),
        ((5, 8, 8, 4), (4, 8, 8), "numpy.moveaxis(latents, -1, 1)"),
        ((5, 8, 4, 8), (4, 8, 8), None),
        ((5, 1, 4, 8, 8), (4, 8, 8), "latents.reshape(-1, 4, 8, 8)"),
        ((5, 16, 16), (4, 8, 8), None),
    ],
)
def test_latents_of_another_shape_get_an_expression_that_mends_them(
    shape: tuple[int, ...], latent_shape: tuple[int, ...], suggestion: str | None
) -> None:
    found = explain_latents(shape, latent_shape)
    assert (found is None) == (shape[1:] == latent_shape)
    if found is not None:
        assert found[1] == suggestion


@pytest.mark.parametrize("shape", [(2, 40), (40, 2), (40,), (2, 1, 40), (2, 40, 1, 1)])
def test_latents_with_axes_of_one_or_the_batch_last_are_no_pictures(
    shape: tuple[int, ...],
) -> None:
    assert are_latents(shape, (40,))


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 1, 28, 28), (2, 784), (41, 2), ()])
def test_pictures_are_no_latents(shape: tuple[int, ...]) -> None:
    assert not are_latents(shape, (40,))
