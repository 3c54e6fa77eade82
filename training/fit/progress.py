"""Progress of a training run: means since the last line of the log, and the progress bar."""

import math
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Task
from torch import Tensor

from training.fit.objectives import Terms
from training.progress_bar import ProgressBar
from training.runs.folder import Progressed


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
    """A training run's progress bar: its epoch, the window's means and the last validation."""

    def __init__(
        self, name: str, *, num_steps: int, steps_per_epoch: int, console: Console
    ) -> None:
        """Make a bar at step 0."""
        super().__init__(_words, console=console)
        self._num_steps, self._steps_per_epoch = num_steps, steps_per_epoch
        self._task = self.add_task(name, total=num_steps, shown=[])

    def show(self, done: Progressed, window: Window) -> None:
        """Show how far the run is, the window's means and the last validation bound."""
        means, bound_nats = window.means(), done.bound_nats
        epoch, last = (-(-step // self._steps_per_epoch) for step in (done.step, self._num_steps))
        shown = [f"epoch {epoch}/{last}"]
        if "train_elbo_nats" in means:
            shown.append(f"ELBO {_nats(means['train_elbo_nats'])}")
        shown.append(f"val {_nats(bound_nats) if math.isfinite(bound_nats) else '-'}")
        shown += [
            f"{name} {_nats(means[key])}"
            for name, key in (("rate", "train_rate_nats"), ("dist.", "train_distortion_nats"))
            if key in means
        ]
        if means:
            shown.append(f"{means['images_per_second']:.0f} img/s")
        self.update(self._task, completed=done.step, shown=shown)


def _words(task: Task) -> list[str]:
    shown: list[str] = task.fields["shown"]
    return shown


def _nats(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1_000 else f"{value:.0f}"
