"""A snapshot shows what a model has, and nothing that is not finite."""

import pytest
import torch

from models.vae.model import VAE
from training.data.datasets import load
from training.recipes.file import RECIPES, load_recipe
from training.report.snapshot import Snapshot, take_snapshot


def snapshot_of(recipe: str, *, count: int = 40, scale: float = 1.0) -> tuple[Snapshot, VAE]:
    """A snapshot of a shipped recipe's model before training; its weights, scaled."""
    found = load_recipe(RECIPES / f"{recipe}.toml")
    torch.manual_seed(0)
    vae = VAE(found.vae).eval().requires_grad_(False)
    for weight in vae.parameters():
        weight.mul_(scale)
    held_out = torch.from_numpy(load("digits").validation.observations(found.image))[:count]
    return take_snapshot(vae, held_out, found.image), vae


@pytest.mark.parametrize(
    ("recipe", "pictures", "parts"),
    [
        ("digits", {"samples", "reconstructions"}, {"kl_per_dimension_nats": (40, 8)}),
        ("digits-two-layers", {"samples", "reconstructions"}, {"kl_per_group_nats": (40, 2)}),
        ("digits-gaussian-mixture", {"samples", "reconstructions"}, {}),
        ("digits-autoencoder", {"reconstructions"}, {}),
    ],
)
def test_a_snapshot_has_the_parts_that_the_model_has(
    recipe: str, pictures: set[str], parts: dict[str, tuple[int, ...]]
) -> None:
    found, vae = snapshot_of(recipe)
    assert found.pictures.keys() == pictures
    assert found.pictures["reconstructions"].shape == (64, 1, 8, 8)
    assert {name: tuple(rows.shape) for name, rows in found.kl_parts.items()} == parts
    assert (found.num_images, found.num_latents) == (40, vae.num_latents)
    assert (found.active_units is None) == (vae.config.encoder is None)


def test_two_snapshots_of_the_same_weights_are_equal() -> None:
    (first, _), (second, _) = snapshot_of("digits"), snapshot_of("digits")
    for name, pictures in first.pictures.items():
        assert (pictures == second.pictures[name]).all()
    assert first.kl_parts["kl_per_dimension_nats"].equal(second.kl_parts["kl_per_dimension_nats"])


def test_what_is_not_finite_is_absent() -> None:
    found, _ = snapshot_of("digits", scale=float("nan"))
    assert found.pictures == {}
    assert found.kl_parts == {}
    assert found.active_units is None


def test_a_single_held_out_image_has_no_active_units() -> None:
    found, _ = snapshot_of("digits", count=1)
    assert found.active_units is None
    assert len(found.pictures["reconstructions"]) == 2


def test_a_model_of_64_bits_stays_one() -> None:
    recipe = load_recipe(RECIPES / "digits.toml")
    vae = VAE(recipe.vae).double().eval()
    x = torch.from_numpy(load("digits").validation.observations(recipe.image))[:3]
    take_snapshot(vae, x, recipe.image)
    assert {weight.dtype for weight in vae.parameters()} == {torch.float64}
