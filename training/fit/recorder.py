"""What a run shows of itself: curves, kept pictures, MLflow, how it ended, and its report.

The loop hands over each line of its log; nothing here changes a weight.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxtyping import Float
from rich.console import Console
from torch import Tensor

from models.vae.model import VAE
from training.errors import Interrupted, RunError
from training.fit.mlflow import MlflowLog
from training.fit.tensorboard import Curves
from training.recipes.recipe import Recipe
from training.report.album import keep_snapshot
from training.report.page import write_report
from training.report.snapshot import take_snapshot
from training.runs.end import forget_end, record_end
from training.runs.folder import read_log


class Recorder:
    """A context around one start of a run; it is over when the run's lock is free again."""

    def __init__(
        self,
        recipe: Recipe,
        run_dir: Path,
        *,
        console: Console,
        tensorboard: bool = True,
        mlflow: str | None = None,
        report: bool = False,
    ) -> None:
        """Make a recorder that has written nothing.

        Args:
            recipe: The run's recipe.
            run_dir: Its folder, which may be missing until `begin`.
            console: Where it is said what could not be written.
            tensorboard: Whether to write TensorBoard's files.
            mlflow: URI of an MLflow server or store; none by default.
            report: Whether to write the run's page at the end.

        Raises:
            ConfigError: MLflow is not installed, or cannot be reached at the URI.
        """
        self._recipe, self._run_dir, self._console = recipe, run_dir, console
        self._curves = Curves(run_dir) if tensorboard else None
        self._mlflow = MlflowLog(mlflow, recipe, run_dir, console=console) if mlflow else None
        self._report, self._begun = report, False
        self._stack = ExitStack()

    def begin(self) -> None:
        """Note that the start has claimed its folder: from now on, its end is noted too."""
        self._begun = True
        forget_end(self._run_dir)

    def add(
        self,
        line: dict[str, Any],
        vae: VAE,
        held_out: Float[Tensor, "batch channel height width"],
    ) -> None:
        """Record a validation, whose line is the last one of the log.

        Args:
            line: The line of the log.
            vae: The weights that were validated.
            held_out: The validation images.

        Raises:
            RunError: The disk is full or cannot be written to.
        """
        snapshot = take_snapshot(vae, held_out, self._recipe.image)
        epochs = [other["epoch"] for other in read_log(self._run_dir)]
        keep_snapshot(self._run_dir, snapshot, epochs=epochs)
        if self._curves is not None:
            self._curves.add(line, snapshot)
        if self._mlflow is not None:
            self._mlflow.send_log()

    def __enter__(self) -> "Recorder":
        if self._curves is not None:
            self._stack.enter_context(self._curves)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if not self._begun:
            return
        try:
            record_end(self._run_dir, error)
            if self._report and (error is None or isinstance(error, (Interrupted, RunError))):
                write_report(self._run_dir)
        except RunError as fault:  # the weights are there, and the report can be made anew
            self._console.print(
                f"Warning: the report is not written: {fault.__cause__}.",
                soft_wrap=True,
                markup=False,
                highlight=False,
            )
        if self._mlflow is not None:
            self._mlflow.finish(error)
