"""Progress of a training run: means since the last line of the log, and the progress bar."""

import math
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import TextColumn
from torch import Tensor

from training.fit.objectives import Terms
from training.progress_bar import ProgressBar


@dataclass
class Window:
    """Sums over the steps since the last line of the log; all of it is in the checkpoint."""

    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    gradient_norm: float = 0.0
    scalars: dict[str, float] = field(default_factory=dict)
    """Sums of the objective's scalars (`Terms.scalars`), by name."""

    def add(self, terms: Terms, norm: Tensor, *, images: int, seconds: float) -> None:
        """Add a step's terms, gradient norm, images and seconds to the sums."""
        self.steps += 1
        self.images += images
        self.seconds += seconds
        self.gradient_norm += float(norm)
        for name, value in terms.scalars.items():
            value = float(value.detach()) if isinstance(value, Tensor) else value
            self.scalars[name] = self.scalars.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Means per step, nats per datum; empty before the first step."""
        if self.steps == 0:
            return {}
        return {
            **{f"train_{name}": total / self.steps for name, total in self.scalars.items()},
            "gradient_norm": self.gradient_norm / self.steps,
            "images_per_second": round(self.images / max(self.seconds, 1e-9), 1),
        }


class Bar(ProgressBar):
    """A training run's progress bar: its step, the window's means and the last validation."""

    def __init__(self, name: str, *, num_steps: int, console: Console) -> None:
        """Make a bar at step 0."""
        super().__init__(
            TextColumn(
                "{task.completed}/{task.total} ELBO {task.fields[elbo]} rate {task.fields[rate]} "
                "distortion {task.fields[distortion]} val {task.fields[validation]} nats "
                "{task.fields[speed]} img/s"
            ),
            console=console,
        )
        fields: dict[str, Any] = dict.fromkeys(_SHOWN, "-")
        self._task = self.add_task(name, total=num_steps, validation="-", **fields)

    def show(self, *, step: int, window: Window, bound_nats: float) -> None:
        """Show a step, the window's means and the last validation bound."""
        means = window.means()
        fields: dict[str, Any] = {
            name: format(means[key], form) for name, (key, form) in _SHOWN.items() if key in means
        }
        validation = f"{bound_nats:.2f}" if math.isfinite(bound_nats) else "-"
        self.update(self._task, completed=step, validation=validation, **fields)


_SHOWN = {
    "elbo": ("train_elbo_nats", ".2f"),
    "rate": ("train_rate_nats", ".2f"),
    "distortion": ("train_distortion_nats", ".2f"),
    "speed": ("images_per_second", ".0f"),
}
