"""What is asked of a recipe that is chosen: the model's use, the size of its pictures, the time.

`choose.py` decides by it; entries that `--set` sets come before it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from models.errors import ConfigError, closest

Purpose = Literal["density", "reconstruction", "samples", "anomaly", "embeddings"]

PIXELS_A_SECOND = {"cpu": 0.5e6, "avx2": 0.15e6, "cuda": 5e6}
"""Pixels (height x width) that training reads a second, by processor, roughly.

One core in float32, by `process_time` around steps of 16 pictures with the chosen networks: 0.44
million at 32x32 RGB, 0.53 at 64x64, 0.50 at 128x128; grey 0.61 at 28x28 and 0.73 at 128x128. A core
with AVX2 alone read 0.12 million at 32x32 RGB and 0.17 at 28x28, in steps of 64 pictures. A GPU
is taken to be ten times as fast, which is no measurement: `--minutes` times each run's own steps.
"""
USUAL_SECONDS = 3_600.0
"""Time of a run where none is given."""
MAX_EPOCHS = 300


@dataclass(frozen=True)
class Asked:
    """What the model is for, and what it may cost."""

    purpose: Purpose | None = None
    """Density if it is None."""
    size: int | None = None
    """The longer side of the model's pictures; chosen if it is None."""
    minutes: float | None = None
    """Time for the run; an hour if it is None."""
    device: str = "cpu"

    @property
    def pixels(self) -> float:
        """Pixels that the run may read in its time."""
        return self._rate * (USUAL_SECONDS if self.minutes is None else 60 * self.minutes)

    @property
    def most_pixels(self) -> float:
        """The same for the recipe's length: a plan by `--minutes` shortens it, and never adds."""
        return max(self.pixels, self._rate * USUAL_SECONDS)

    def say_time(self, pixels: int) -> str:
        """How long it takes to read so many pixels, in words."""
        minutes = pixels / self._rate / 60
        if minutes < 1:
            words = "less than a minute"
        elif round(minutes) < 90:
            words = f"about {round(minutes)} minute{'s' if round(minutes) > 1 else ''}"
        else:
            words = f"about {round(minutes / 60)} hours"
        return f"{words} on {'a GPU' if self._is_gpu else 'one CPU core'}"

    @property
    def _is_gpu(self) -> bool:
        return not self.device.startswith("cpu")

    @property
    def _rate(self) -> float:
        return PIXELS_A_SECOND["cuda" if self._is_gpu else kind_of_cpu()]


def kind_of_cpu() -> Literal["cpu", "avx2"]:
    """Which of the rates this machine's cores have: "avx2" without wider instructions."""
    import torch  # help needs none

    return "avx2" if torch.backends.cpu.get_cpu_capability() == "AVX2" else "cpu"


def num_epochs(pixels: float, *, epoch: int) -> int:
    """The epochs of so many pixels each that a run may read, one at least."""
    return max(1, round(min(MAX_EPOCHS, pixels / epoch)))


def known_purpose(value: str) -> Purpose:
    """The purpose of that name.

    Raises:
        ConfigError: There is none.
    """
    allowed: tuple[Purpose, ...] = get_args(Purpose)
    for purpose in allowed:
        if value == purpose:
            return purpose
    best = closest(value, allowed)
    hint = f" Did you mean {best!r}?" if best else ""
    fix = f"--for {best or allowed[0]}"
    raise ConfigError(
        f"--for {value!r} is not allowed.{hint} Allowed: {', '.join(allowed)}. Use {fix}.",
        parameter="for",
        received=value,
        allowed=allowed,
        suggestion=fix,
    )
