"""Random affine maps keep levels, fade out, and do nothing when nothing is asked."""

import torch

from training.augmentation import augment
from training.config import AugmentationConfig

ALL = AugmentationConfig(
    probability=1.0, until=0.8, rotation_degrees=10, shift_pixels=1, scale=0.1, shear=0.1
)


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 17, (64, 1, 12, 9), generator=generator).float()


def test_moved_images_hold_only_levels_of_the_image_and_the_background():
    torch.manual_seed(1)
    moved = augment(images() + 1, ALL, progress=0.0, background=0.0)
    assert set(moved.unique().tolist()) <= set(range(18))
    assert not torch.equal(moved, images() + 1)


def test_no_image_is_moved_at_the_end():
    assert augment(images(), ALL, progress=0.8, background=0.0) is not None
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
