"""A sweep: many trainings of one recipe with other values, and the best of them.

Each trial is a run of its own that `fit/train.py` trains; `sweep_trials.py` says which one is next,
`sweep_processes.py` shares them among processes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from rich.console import Console

from models.errors import ConfigError
from training.data.datasets import Dataset
from training.errors import Interrupted, RunError
from training.fit.train import train
from training.recipes.recipe import Recipe
from training.runs.folder import Progressed
from training.studies.sweep_outcomes import Outcome
from training.studies.sweep_trials import PRUNED, Claim, Trials

MAX_FAILED = 5
"""Trials that fail before any succeeds, after which something else than their values is wrong."""


@dataclass(frozen=True)
class TrialSettings:
    """How the trials are trained: what changes nothing in their results, but on a GPU."""

    num_trials: int
    """Trials that the sweep shall have, those of former starts included."""
    data_dir: Path | None = None
    device: str = "auto"
    tensorboard: bool = True


def run_trials(
    trials: Trials,
    settings: TrialSettings,
    *,
    dataset: Dataset,
    deadline: float = math.inf,
    console: Console,
    show: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Train trials until the sweep has as many as it shall have.

    A trial that the recipe or the data refuse, or that diverges, counts as failed.

    Args:
        trials: The sweep's trials; other processes may train some of them at the same time.
        settings: How many there shall be, and how they are trained.
        dataset: The recipe's data set.
        deadline: Time on the monotonic clock at which the trial of that moment writes a checkpoint
            and the call returns.
        console: Console that shows the progress of a trial.
        show: Is given each trial that has ended.

    Raises:
        Interrupted: SIGTERM or SIGINT came; the trial's checkpoint is written.
        RunError: The first trials all failed, or a folder cannot be written to.
    """
    while time.monotonic() < deadline:
        claim = trials.claim(settings.num_trials)
        if claim is None:
            return
        with claim.lock:
            try:
                recipe = trials.recipe_of(claim)
                done = _train(
                    trials, claim, recipe, settings, dataset, deadline=deadline, console=console
                )
            except Interrupted as error:
                raise _interrupted(error, claim) from error
            except (ConfigError, RunError) as error:
                if isinstance(error.__cause__, OSError):  # of the disk, not of the trial
                    raise
                show(trials.fail(claim, str(error)))
                _refuse_failing(trials, error)
                continue
            except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
                trials.fail(claim, f"{type(error).__name__}: {error}")  # not again at every start
                raise
            if not done.stopped_because:
                return
            show(trials.finish(claim, done, recipe))


def _train(
    trials: Trials,
    claim: Claim,
    recipe: Recipe,
    settings: TrialSettings,
    dataset: Dataset,
    *,
    deadline: float,
    console: Console,
) -> Progressed:
    def prune(epoch: int, bound_nats: float) -> str:
        return PRUNED if trials.report(claim, recipe, epoch, bound_nats) else ""

    return train(
        recipe,
        run_dir=trials.run_dir(claim.number),
        data_dir=settings.data_dir,
        resume=True,
        device=settings.device,
        console=console,
        limit_seconds=deadline - time.monotonic(),
        tensorboard=settings.tensorboard,
        dataset=dataset,
        on_validation=prune,
    )


def _refuse_failing(trials: Trials, error: Exception) -> None:
    failed = trials.num_failed()
    if failed >= MAX_FAILED:
        raise RunError(
            f"The first {failed} trials all failed, so the sweep ends. The last one: {error}"
        ) from error


def _interrupted(error: Interrupted, claim: Claim) -> Interrupted:
    number = Signals(error.exit_code - 128)
    return Interrupted(
        f"{number.name} ended the sweep in trial {claim.number}, whose checkpoint is written. Give "
        "the same command again to go on.",
        signal_number=number,
    )
