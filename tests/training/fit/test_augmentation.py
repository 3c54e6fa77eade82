"""Random flips, crops and affine maps keep levels, fade out, and do nothing when not asked."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from models.images.reading import read_levels, read_picture
from models.images.spec import ImageSpec
from training.fit.augmentation import augment, crop
from training.fit.batches import observe
from training.recipes.file import RECIPES, load_recipe
from training.recipes.loop import AugmentationConfig
from training.recipes.recipe import Recipe

ALL = AugmentationConfig(
    probability=1.0,
    until=0.8,
    crop_pixels=2,
    rotation_degrees=10,
    shift_pixels=1,
    scale=0.1,
    shear=0.1,
)


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 17, (64, 1, 12, 9), generator=generator).float()


def as_augmented(config: AugmentationConfig, x: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(1)
    return augment(x, config, progress=0.0, background=0.0)


def test_moved_images_hold_only_levels_of_the_image_and_the_background():
    moved = as_augmented(ALL, images() + 1)
    assert set(moved.unique().tolist()) <= set(range(18))
    assert not torch.equal(moved, images() + 1)


def test_no_image_is_moved_at_the_end():
    assert torch.equal(augment(images(), ALL, progress=0.8, background=0.0), images())


def test_an_affine_map_of_size_zero_is_the_identity():
    still = AugmentationConfig(probability=1.0)
    assert torch.equal(augment(images(), still, progress=0.0, background=3.0), images())


def test_the_part_of_moved_images_falls_linearly():
    torch.manual_seed(1)
    many = torch.rand(4000, 1, 6, 6)
    moved = augment(many, ALL, progress=0.4, background=0.0)
    share = (moved != many).flatten(1).any(1).float().mean().item()
    assert abs(share - 0.5) < 4 * 0.5 / 4000**0.5


def test_a_uniform_image_on_its_own_background_does_not_change():
    torch.manual_seed(1)
    white = torch.full((8, 3, 5, 7), 16.0)
    assert torch.equal(augment(white, ALL, progress=0.0, background=16.0), white)


@pytest.mark.parametrize(
    ("flip", "mirrorings"), [("horizontal", ((), (3,))), ("both", ((), (3,), (2,), (2, 3)))]
)
def test_each_mirroring_takes_its_share_of_the_images_to_the_runs_end(flip, mirrorings):
    one = torch.arange(3 * 4 * 5.0).reshape(1, 3, 4, 5)
    torch.manual_seed(1)
    flipped = augment(
        one.expand(4000, -1, -1, -1), AugmentationConfig(flip=flip), progress=1.0, background=0.0
    )
    shares = [
        (flipped == one.flip(axes)).flatten(1).all(1).float().mean().item() for axes in mirrorings
    ]
    assert sum(shares) == pytest.approx(1)
    p = 1 / len(mirrorings)
    assert all(abs(share - p) < 4 * (p * (1 - p) / 4000) ** 0.5 for share in shares)


def test_a_crop_is_a_window_of_the_mirrored_image_and_every_window_is_taken():
    torch.manual_seed(1)
    one = torch.arange(2 * 6 * 4.0).reshape(1, 2, 6, 4)
    framed = np.pad(one[0].numpy(), ((0, 0), (3, 3), (3, 3)), mode="reflect")
    windows = {
        framed[:, top : top + 6, left : left + 4].tobytes() for top in range(7) for left in range(7)
    }
    cropped = crop(one.expand(2000, -1, -1, -1), 3)
    assert {window.numpy().tobytes() for window in cropped} == windows


def test_the_same_seed_makes_the_same_images():
    config = ALL.model_copy(update={"flip": "both"})
    assert torch.equal(as_augmented(config, images()), as_augmented(config, images()))


def recipe(*overrides: str) -> Recipe:
    return load_recipe(RECIPES / "digits.toml", overrides=overrides)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_training_takes_the_tensor_that_the_service_makes_of_the_same_file(fit, mode):
    noise = np.random.default_rng(0).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, format="TIFF")
    spec = ImageSpec(channels=3, height=16, width=12, fit=fit, background=255)
    model = recipe(
        "vae.likelihood.levels=256", "image.levels=256", "image.channels=3", "image.height=16",
        "image.width=12", f"image.fit={fit}", "image.background=255",
    )  # fmt: skip
    levels = torch.from_numpy(read_levels(file.getvalue(), spec))
    served = torch.from_numpy(read_picture(file.getvalue(), spec).x)
    assert torch.equal(observe(levels, model, 0.5)[0], served)
