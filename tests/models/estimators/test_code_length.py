"""Code lengths against a code that reads pixel by pixel, and as probabilities that sum to one."""

import itertools
import math

import numpy as np
import pytest

from models.estimators import code_length
from models.estimators.code_length import code_lengths


def at(channel, y, x):
    inside = 0 <= y < channel.shape[0] and 0 <= x < channel.shape[1]
    return int(channel[y, x]) if inside else 0


def read_in_turn(image, count):
    """Minus the log of the product of the probabilities of each pixel, given those before it."""
    image, length, counts = image.astype(int), 0.0, {}
    for index, channel in enumerate(image):
        shown = channel if index == 0 or count == 2 else (channel - image[index - 1]) % count
        for y, x in itertools.product(*map(range, shown.shape)):
            w, ww, n, nn = (
                at(shown, y, x - 1), at(shown, y, x - 2), at(shown, y - 1, x), at(shown, y - 2, x)
            )  # fmt: skip
            nw, ne = at(shown, y - 1, x - 1), at(shown, y - 1, x + 1)
            if count == 2:
                context = (w, ww, n, nw, ne, nn)
                symbol, guess = int(shown[y, x]), [0.5, 0.5]
            else:
                predicted = w + n - nw
                if nw >= max(w, n):
                    predicted = min(w, n)
                elif nw <= min(w, n):
                    predicted = max(w, n)
                activity = (abs(w - nw) + abs(nw - n) + abs(n - ne)) * 255 / (count - 1)
                kind = sum(activity >= bound for bound in code_length._ACTIVITY)
                context = (index, kind)
                symbol, guess = int(shown[y, x] - predicted) % count, guesses(kind, count)
            seen = counts.setdefault(context, [0] * count)
            length -= math.log((seen[symbol] + guess[symbol]) / (sum(seen) + sum(guess)))
            seen[symbol] += 1
    return length


def guesses(kind, count):
    spread = code_length._SPREAD[kind]
    decay = [math.exp(-min(s, count - s) * 255 / (count - 1) / spread) for s in range(count)]
    uniform, weight = code_length._UNIFORM_SHARE, code_length._GUESS_WEIGHT
    return [weight * ((1 - uniform) * d / sum(decay) + uniform / count) for d in decay]


@pytest.mark.parametrize(
    ("shape", "count"),
    [((1, 9, 7), 2), ((3, 5, 6), 2), ((1, 9, 7), 256), ((3, 6, 5), 256), ((1, 4, 4), 16)],
)
def test_the_length_is_that_of_pixels_coded_one_after_the_other(shape, count):
    generator = np.random.default_rng(1)
    noise = generator.integers(0, count, shape)
    smooth = (np.add.outer(np.arange(shape[1]), np.arange(shape[2])) * 3 % count)[None] + noise * 0
    lengths = code_lengths(np.stack([noise, smooth]), count)
    assert lengths == pytest.approx([read_in_turn(noise, count), read_in_turn(smooth, count)])


@pytest.mark.parametrize(
    ("shape", "count"), [((1, 3, 3), 2), ((2, 2, 2), 2), ((1, 2, 3), 3), ((3, 1, 2), 3)]
)
def test_the_code_is_lossless_and_wastes_nothing(shape, count):
    images = itertools.product(range(count), repeat=math.prod(shape))
    levels = np.array(list(images)).reshape(-1, *shape)
    assert np.exp(-code_lengths(levels, count)).sum() == pytest.approx(1)


def test_what_is_simple_is_short_and_a_row_depends_on_itself_alone():
    generator = np.random.default_rng(2)
    flat = np.zeros((1, 28, 28), int)
    steps = np.repeat(np.repeat(generator.integers(0, 256, (1, 4, 4)), 7, 1), 7, 2)
    noise = generator.integers(0, 256, (1, 28, 28))
    lengths = code_lengths(np.stack([flat, steps, noise]), 256)
    assert lengths[0] < lengths[1] < lengths[2]
    assert lengths[2] == pytest.approx(784 * math.log(256), rel=0.15)
    assert lengths[1] == code_lengths(steps[None], 256)[0]
