"""The yardsticks against direct counts and against files that PIL reads back."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from models.images.spec import ImageSpec
from training.data.array_split import ArraySplit
from training.evaluation import baselines
from training.evaluation.baselines import score_baselines

GREY = ImageSpec(channels=1, height=4, width=3, levels=5)
COLOUR = ImageSpec(channels=3, height=4, width=3)
BINARY = ImageSpec(channels=1, height=4, width=3, levels=2, binarization="threshold")


def split_of(spec: ImageSpec, count: int, *, seed: int = 0) -> ArraySplit:
    """Random levels, the lower ones more often."""
    generator = np.random.default_rng(seed)
    size = (count, spec.height, spec.width, *([3] if spec.channels == 3 else []))
    levels = generator.integers(0, spec.levels, size) * generator.integers(0, 2, size)
    return ArraySplit(levels.astype(np.uint8), levels=spec.levels)


def scored(spec: ImageSpec, *, train: int = 40, test: int = 7) -> dict[str, baselines.Baseline]:
    x = split_of(spec, test, seed=1).observations(spec)
    return {b.kind: b for b in score_baselines(split_of(spec, train), x, spec)}


@pytest.mark.parametrize("spec", [GREY, COLOUR, BINARY], ids=["grey", "colour", "binary"])
def test_the_histogram_is_the_smoothed_count_of_each_pixel_channel_and_level(
    spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "_CHUNK", 16)
    train, test = (split_of(spec, n, seed=s).observations(spec) for n, s in ((40, 0), (7, 1)))
    bits = []
    for image in test:
        counts = (train == image).sum(0)
        bits.append(-np.log2((counts + 1) / (40 + spec.levels)).sum() / image.size)
    found = scored(spec)["histogram"]
    assert found.bits_per_dim == pytest.approx(np.mean(bits), rel=1e-12)
    expected_error = np.std(bits, ddof=1) / math.sqrt(7)
    assert found.standard_error_bits_per_dim == pytest.approx(expected_error, rel=1e-12)
    assert found.n == 7


def test_the_histogram_is_a_distribution_over_the_levels_of_a_pixel() -> None:
    spec = ImageSpec(channels=1, height=1, width=1, levels=5)
    total = 0.0
    for level in range(5):
        x = np.full((2, 1, 1, 1), level, np.float32)
        (histogram, *_) = score_baselines(split_of(spec, 40), x, spec)
        total += 2**-histogram.bits_per_dim
    assert total == pytest.approx(1, rel=1e-12)


def test_binary_images_and_many_levels_have_the_histogram_alone() -> None:
    assert list(scored(BINARY)) == ["histogram"]
    deep = ImageSpec(channels=1, height=4, width=3, levels=300)
    x = np.full((2, 1, 4, 3), 299, np.float32)
    assert [b.kind for b in score_baselines(split_of(GREY, 9), x, deep)] == ["histogram"]


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_every_file_gives_the_levels_back_and_all_of_its_bytes_are_counted(
    spec: ImageSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[tuple[str, bool], list[bytes]] = {}
    exact = baselines._file_bytes

    def watch(picture: np.ndarray, options: dict[str, object]) -> int:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture)).save(file, **options)  # type: ignore[arg-type]
        with Image.open(io.BytesIO(file.getvalue())) as back:
            read = np.asarray(back)
        same = read if read.ndim == picture.ndim else read[..., 0]  # WebP has no grey
        assert np.array_equal(same, picture)
        key = (str(options["format"]).lower(), len(picture) > spec.height)
        files.setdefault(key, []).append(file.getvalue())
        return exact(picture, options)

    monkeypatch.setattr(baselines, "_file_bytes", watch)
    monkeypatch.setattr(baselines, "_MAX_ROWS", 13)  # three images of four rows
    found = scored(spec, test=6)
    for form in ("png", "webp"):
        assert len(files[form, False]) == 6
        assert len(files[form, True]) == 2
        for kind, stacked in ((form, False), (f"{form}_stacked", True)):
            bits = 8 * sum(map(len, files[form, stacked]))
            expected = bits / (6 * math.prod(spec.shape))
            assert found[kind].bits_per_dim == pytest.approx(expected, rel=1e-12)
            assert (found[kind].standard_error_bits_per_dim is None) == stacked


def test_stacking_saves_what_files_hold_besides_pixels() -> None:
    found = scored(GREY, test=50)
    for form in ("png", "webp"):
        assert found[f"{form}_stacked"].bits_per_dim < found[form].bits_per_dim / 2
