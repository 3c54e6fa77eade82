"""Statistics of pictures: black and white, and sums over splits."""

import numpy as np

from training.data.array_split import ArraySplit


def test_statistics_say_what_is_only_black_and_white() -> None:
    images = np.zeros((2, 3, 3), dtype=np.uint8)
    images[0, 0, 0] = 1
    assert ArraySplit(images, levels=2).statistics.is_binary
    assert ArraySplit(images.astype(np.float32)).statistics.is_binary
    assert ArraySplit(images * 255).statistics.is_binary
    assert not ArraySplit(images).statistics.is_binary


def test_statistics_add_up() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    both = ArraySplit(images).statistics + ArraySplit(images[:1, :, :1]).statistics
    assert both.count == 3
    assert both.sizes == {(2, 2): 2, (2, 1): 1}
    assert both.num_values == 10
    assert both.colour_share == 0
