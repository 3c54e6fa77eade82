"""Progress of a training run: means since the last line of the log, and the progress bar."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from rich.console import Console
from rich.progress import Task
from torch import Tensor

from training.fit.objectives import Terms
from training.fit.ranks import ALONE, Ranks
from training.progress_bar import ProgressBar
from training.runs.folder import Progressed

SILENCE_SECONDS = 300.0
"""Time without a validation after which a file or a pipe gets a line all the same."""


class Window:
    """Sums over the steps since the last line of the log; all of it is in the checkpoint.

    They add up on the device, in float64 where it has that, and are numbers here after `read`.
    """

    def __init__(self) -> None:
        """No step."""
        self.taken = 0
        """Steps, those too whose gradient was not finite."""
        self.seen = 0
        """Steps up to the last `read`."""
        self.images = 0
        """Images of all steps."""
        self.seconds = 0.0
        self.steps = 0
        """Steps whose gradient was finite; the sums are theirs."""
        self.gradient_norm = 0.0
        self.scalars: dict[str, float] = {}
        """Sums of the objective's scalars (`Terms.scalars`), by name."""
        self._sums: Tensor | None = None

    @torch.no_grad()
    def add(self, terms: Terms, norm: Tensor, *, images: int) -> None:
        """Add a step's terms, gradient norm and images; waits for nothing."""
        self.taken += 1
        self.images += images
        values = [norm.new_tensor(v) if isinstance(v, float) else v for v in terms.scalars.values()]
        numbers = torch.stack([torch.ones_like(norm), norm, *values])
        if self._sums is None:
            self._sums = self._begun(terms.scalars, norm.device)
        self._sums += numbers.where(norm.isfinite(), 0.0)

    def _begun(self, names: Iterable[str], device: torch.device) -> Tensor:
        """The sums so far, on a device."""
        known = [self.scalars.setdefault(name, 0.0) for name in names]
        dtype = torch.float32 if device.type == "mps" else torch.float64
        begun = [float(self.steps), self.gradient_norm, *known]
        return torch.tensor(begun, dtype=dtype, device=device)

    def read(self, ranks: Ranks = ALONE) -> None:
        """Take the sums from the device, once it has done its steps; means over the processes."""
        self.seen = self.taken
        if self._sums is not None:
            steps, self.gradient_norm, *sums = ranks.mean(self._sums).tolist()
            self.steps = round(steps)
            self.scalars = dict(zip(self.scalars, sums, strict=True))

    def means(self) -> dict[str, float]:
        """Means per step as of the last `read`, nats per datum; empty before the first step."""
        if self.steps == 0:
            return {}
        return {
            **{f"train_{name}": total / self.steps for name, total in self.scalars.items()},
            "gradient_norm": self.gradient_norm / self.steps,
            "images_per_second": round(self.images / max(self.seconds, 1e-9), 1),
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, as of the last `read`."""
        return {name: value for name, value in vars(self).items() if name != "_sums"}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Window":
        """The window of a checkpoint; those of older versions did not count skipped steps."""
        window = cls()
        steps = state.get("steps", 0)
        vars(window).update({"taken": steps, "seen": steps, **state})
        return window


class Bar(ProgressBar):
    """A training run's progress bar: its epoch, the last validation and the window's means.

    Where there is no terminal, each validation gets a plain line instead.
    """

    def __init__(
        self, name: str, *, num_steps: int, steps_per_epoch: int, console: Console
    ) -> None:
        """Make a bar at step 0."""
        super().__init__(_words, console=console, line_seconds=SILENCE_SECONDS)
        self._num_steps, self._steps_per_epoch = num_steps, steps_per_epoch
        self._task = self.add_task(name, total=num_steps, shown=[])

    def show(self, done: Progressed, window: Window) -> None:
        """Show how far the run is, the last validation bound and the window's means."""
        bound_nats = done.bound_nats
        shown = [
            self._epoch(done.step),
            f"val {_nats(bound_nats) if math.isfinite(bound_nats) else '-'}",
            *_means(window.means()),
        ]
        self.update(self._task, completed=done.step, shown=shown)

    def write_validation(self, line: Mapping[str, Any]) -> None:
        """Write the log's line of a validation as a plain line, where there is no bar."""
        step, bound, error = (
            line[key] for key in ("step", "validation_bound_nats", "validation_standard_error_nats")
        )
        self.update(self._task, completed=step)
        words = [self._epoch(step), f"val {_nats(bound)} +- {_nats(error)}"]
        if (accuracy := line.get("validation_label_accuracy")) is not None:
            words.append(f"{100 * accuracy:.1f} % of labels right")
        if (skipped := line["skipped_steps"]) > 0:
            words.append(f"{skipped} steps skipped")
        task = next(task for task in self.tasks if task.id == self._task)
        self.write_line(task, [*words, *_means(line)])

    def _epoch(self, step: int) -> str:
        epoch, last = (-(-count // self._steps_per_epoch) for count in (step, self._num_steps))
        return f"epoch {epoch}/{last}"


def _words(task: Task) -> list[str]:
    shown: list[str] = task.fields["shown"]
    return shown


def _means(means: Mapping[str, Any]) -> list[str]:
    """The means that a log or a window has, in words, the most important first."""
    named = {
        "ELBO": "train_elbo_nats",
        "rate": "train_rate_nats",
        "dist.": "train_distortion_nats",
    }
    words = [f"{name} {_nats(means[key])}" for name, key in named.items() if key in means]
    if (speed := means.get("images_per_second")) is not None:
        words.append(f"{speed:.0f} img/s")
    if (speed := means.get("images_read_per_second")) is not None:
        words.append(f"{speed:.0f} read/s")
    return words


def _nats(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1_000 else f"{value:.0f}"
