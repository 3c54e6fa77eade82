"""What a step makes of the cache."""

import torch

from training.batches import Data, observe
from training.cli import RECIPES
from training.config import load_recipe


def test_binary_levels_are_unchanged_by_stochastic_binarisation():
    changes = ["vae.likelihood={ kind = 'bernoulli' }", "image.levels=2"]
    chosen = load_recipe(
        RECIPES / "digits.toml", overrides=[*changes, "image.binarization=stochastic"]
    )
    levels = torch.randint(0, 2, (50, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(observe(levels * 255, chosen, 0.0), levels.float())


def test_a_batch_has_the_labels_of_its_images_where_there_are_any():
    recipe = load_recipe(RECIPES / "digits.toml")
    cache = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    for labels in (None, torch.arange(10)):
        data = Data(cache, labels, cache[:2].float(), sha256="")
        batch = data.batch(torch.tensor([7, 2]), recipe, progress=0.5)
        assert batch.x[:, 0, 0, 0].tolist() == [7, 2]
        assert batch.y is None if labels is None else batch.y.tolist() == [7, 2]
