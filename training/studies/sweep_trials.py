"""The trials of a sweep: an Optuna study in SQLite that several processes share.

    runs/<sweep>/base.toml          the recipe whose entries vary
                 sweep.db           every trial: values, state, bounds (Optuna's tables)
                 trial-0007/        the run of a trial (`runs/folder.py`)
                 locks/trial-0007/  the process that trains the trial
                 best.toml          the recipe of the best trial so far

A process claims one trial at a time. The lock of a trial ends with its process, so that a trial
whose process was killed is claimed again and goes on from its checkpoint. The draws of a trial are
a function of the sweep's seed, its number and the trials before it.
"""

import fcntl
import math
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from models.errors import ConfigError
from models.files import write_whole
from training.errors import RunError
from training.fit.order import derive_seed
from training.recipes.file import load_recipe, to_toml
from training.recipes.recipe import Recipe
from training.runs.claim import free_folder
from training.runs.folder import RECIPE, Progressed, differing
from training.runs.lock import RunLock, find_trainer
from training.studies.sweep_outcomes import Outcome, best_toml, find_best
from training.studies.sweep_space import Sweep, vary

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BASE, DATABASE, BEST_RECIPE = "base.toml", "sweep.db", "best.toml"
_MUTEX = "sweep.lock"
_STUDY, _VARIED, _DATA = "sweep", "vary", "dataset_sha256"
_PATIENCE_SECONDS = 60.0
"""How long a process waits for another one that writes to the database."""
PRUNED = "its bound fell below the median of the trials before it"
MIN_COMPLETE = 5
"""Complete trials before the first one is pruned: the median of fewer says little."""


@dataclass(frozen=True)
class Claim:
    """A trial that this process trains."""

    trial: "Trial"
    lock: RunLock
    overrides: tuple[str, ...]
    """Those that set what varies."""

    @property
    def number(self) -> int:
        return self.trial.number


class Trials:
    """The trials of a sweep, in its folder."""

    def __init__(
        self, sweep: Sweep, *, dataset_sha256: str, prunes: bool, console: Console
    ) -> None:
        """Open a sweep, or begin it.

        Args:
            sweep: The sweep.
            dataset_sha256: Digest of the data set's content.
            prunes: Stop trials that fall behind the others.
            console: Console that shows warnings.

        Raises:
            ConfigError: The folder holds trials of another sweep.
            RunError: The folder cannot be written to.
        """
        self.sweep, self.prunes, self._console = sweep, prunes, console
        sweep.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.study = _open_study(sweep.folder)
            self.num_before = len(self.study.get_trials(deepcopy=False))
            if self.num_before:
                self._verify(dataset_sha256)
                self._write_best()
            else:
                write_whole(sweep.folder / BASE, to_toml(sweep.recipe).encode())
                self.study.set_user_attr(_VARIED, [str(variation) for variation in sweep.space])
                self.study.set_user_attr(_DATA, dataset_sha256)

    def run_dir(self, number: int) -> Path:
        """The folder of a trial's run."""
        return self.sweep.folder / _name(number)

    def claim(self, limit: int) -> Claim | None:
        """The next trial to train: one whose process is gone, or a new one.

        Args:
            limit: Trials that the sweep may have.

        Returns:
            The claim, whose lock the caller holds; None if there is nothing left to begin.
        """
        from optuna.trial import Trial, TrialState

        with self._alone():
            trials = self.study.get_trials(deepcopy=False)
            for found in trials:
                if found.state is TrialState.RUNNING and not self._is_trained(found.number):
                    self._seed_sampler(found.number)
                    return self._draw(Trial(self.study, found._trial_id))  # no public way back
            if len(trials) >= limit:
                return None
            self._seed_sampler(len(trials))
            return self._draw(self.study.ask())

    def recipe_of(self, claim: Claim) -> Recipe:
        """The recipe of a trial.

        Raises:
            ConfigError: The drawn values do not go together.
        """
        base, number = self.sweep.recipe, claim.number
        own = [f"name={base.name[:53]}-{_name(number)}", f"seed={_seed_of(base, number)}"]
        return vary(base, [*own, *claim.overrides], f"Trial {number}")

    def report(self, claim: Claim, recipe: Recipe, epoch: int, bound_nats: float) -> bool:
        """Report a validation; return whether its trial is to be pruned.

        It is where its best bound so far is below the median of the complete trials at this epoch.
        None is during the warm-up of the KL, nor in the first tenth of the epochs, whose bounds say
        little about the last ones; nor where the trials have several lengths.
        """
        from optuna.pruners import MedianPruner

        if not math.isfinite(bound_nats):
            return False
        if epoch not in self.study.get_trials(deepcopy=False)[claim.number].intermediate_values:
            claim.trial.report(bound_nats, epoch)
        settings = recipe.training
        first = math.ceil(max(settings.kl_warmup_epochs, settings.epochs / 10))
        self.study.pruner = MedianPruner(MIN_COMPLETE, first)
        return self.prunes and not self._varies_length() and bool(claim.trial.should_prune())

    def finish(self, claim: Claim, done: Progressed, recipe: Recipe) -> Outcome:
        """Store how a trial ended, and the recipe of the best trial."""
        pruned = done.stopped_because == PRUNED
        facts = {
            "bound_nats": done.best_bound_nats,
            "standard_error_nats": _finite(done.best_error_nats),
            "epoch": done.best_epoch,
            "seconds": round(done.seconds, 1),
            "seed": recipe.seed,
            "reason": PRUNED if pruned else "",
        }
        bound_nats = None if pruned else done.best_bound_nats
        return self._end(claim, facts, "PRUNED" if pruned else "COMPLETE", bound_nats)

    def fail(self, claim: Claim, reason: str) -> Outcome:
        """Store that a trial failed, and why.

        Optuna stores it as pruned: its sampler ignores failed trials and would draw such values
        again and again; pruned ones it takes for worse than all that are complete.
        """
        return self._end(claim, {"failed": True, "reason": reason}, "PRUNED")

    def outcomes(self) -> list[Outcome]:
        """Every trial so far, in the order of their numbers."""
        return [self._outcome(trial) for trial in self.study.get_trials(deepcopy=False)]

    def num_failed(self) -> int:
        """Trials of this start that failed; 0 where the sweep has one that did not."""
        outcomes = self.outcomes()
        if {outcome.state for outcome in outcomes} - {"failed", "running"}:
            return 0
        failed = [outcome.trial for outcome in outcomes if outcome.state == "failed"]
        return sum(number >= self.num_before for number in failed)

    def importances(self) -> dict[str, float]:
        """The share of each entry in the bound, by Optuna's PED-ANOVA; empty where unknown.

        Source: Watanabe, Bansal and Hutter 2023, arXiv:2304.10255.
        """
        from optuna.importance import get_param_importances
        from optuna.trial import TrialState

        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len({trial.value for trial in complete}) < 2:
            return {}
        return get_param_importances(self.study)

    def _is_trained(self, number: int) -> bool:
        return find_trainer(self._lock_dir(number)) is not None

    def _lock_dir(self, number: int) -> Path:
        return self.sweep.folder / "locks" / _name(number)

    def _seed_sampler(self, number: int) -> None:
        from optuna.samplers import TPESampler

        self.study.sampler = TPESampler(seed=derive_seed(self.sweep.recipe.seed, -1 - number) >> 31)

    def _draw(self, trial: "Trial") -> Claim:
        lock = RunLock(self._lock_dir(trial.number), self._console)
        lock.acquire()
        overrides = tuple(variation.draw(trial) for variation in self.sweep.space)
        return Claim(trial, lock, overrides)

    def _end(
        self, claim: Claim, facts: dict[str, Any], state: str, bound_nats: float | None = None
    ) -> Outcome:
        from optuna.trial import TrialState

        with self._alone():
            for name, value in facts.items():
                claim.trial.set_user_attr(name, value)
            self.study.tell(claim.number, bound_nats, TrialState[state])
            self._write_best()
        return self.outcomes()[claim.number]

    def _write_best(self) -> None:
        outcomes = self.outcomes()
        best = find_best(outcomes)
        if best is not None:
            recipe = load_recipe(self.run_dir(best.trial) / RECIPE)
            text = best_toml(self.sweep, outcomes, best, recipe)
            write_whole(self.sweep.folder / BEST_RECIPE, text.encode())

    def _varies_length(self) -> bool:
        return any("training.epochs".startswith(variation.key) for variation in self.sweep.space)

    def _outcome(self, trial: "FrozenTrial") -> Outcome:
        facts, entries = trial.user_attrs, {one.key: one for one in self.sweep.space}
        return Outcome(
            trial=trial.number,
            state="failed" if "failed" in facts else trial.state.name.lower(),
            bound_nats=facts.get("bound_nats"),
            standard_error_nats=facts.get("standard_error_nats"),
            epoch=facts.get("epoch"),
            seconds=facts.get("seconds"),
            seed=facts.get("seed"),
            values={key: entries[key].value(drawn) for key, drawn in trial.params.items()},
            run=str(self.run_dir(trial.number)),
            reason=facts.get("reason", ""),
        )

    def _verify(self, dataset_sha256: str) -> None:
        folder, facts = self.sweep.folder, self.study.user_attrs
        stored = load_recipe(folder / BASE).model_dump(mode="json")
        changed = differing(stored, self.sweep.recipe.model_dump(mode="json"))
        if facts[_VARIED] != [str(variation) for variation in self.sweep.space]:
            changed.append(f"--vary (there: {' and '.join(facts[_VARIED])})")
        if facts[_DATA] != dataset_sha256:
            changed.append("the data set's content")
        if changed:
            fix = f"--sweep-dir {shlex.quote(str(free_folder(folder)))}"
            raise ConfigError(
                f"{folder} holds another sweep: {', '.join(changed)} differ. Go on with it by the "
                f"command that began it, or name another folder: {fix}",
                parameter="--sweep-dir",
                received=str(folder),
                suggestion=fix,
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other processes of the sweep from claiming and ending trials meanwhile."""
        with (self.sweep.folder / _MUTEX).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def database_errors(folder: Path) -> Iterator[None]:
    """Turn the errors of a database that cannot be read or written into one that says so.

    Raises:
        ConfigError: Optuna is not installed.
        RunError: The disk is full, or the database is damaged or locked for too long.
    """
    _require_optuna()
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", cause)).splitlines()[0]
        raise RunError(
            f"Cannot use {folder / DATABASE}: {reason}. Make room or restore the file, and give "
            "the same command again; or begin a sweep in another folder with --sweep-dir."
        ) from error


def _name(number: int) -> str:
    return f"trial-{number:04d}"


def _seed_of(base: Recipe, number: int) -> int:
    """The seed of a trial, of 32 bits."""
    return derive_seed(base.seed, number) >> 31


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        fix = "pip install --constraint constraints.txt --editable '.[train,sweep]'"
        raise ConfigError(
            f"vae-lab sweep needs Optuna, which is not installed. Install the extra sweep: {fix}",
            parameter="sweep",
            suggestion=fix,
        ) from error


def _open_study(folder: Path) -> "Study":
    """The study in a folder, a new one if there is none."""
    import optuna

    def connect() -> sqlite3.Connection:
        path = folder / DATABASE  # may hold any sign, unlike a URL
        return sqlite3.connect(path, timeout=_PATIENCE_SECONDS, check_same_thread=False)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{DATABASE}", engine_kwargs={"creator": connect}
    )
    return optuna.create_study(
        storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True
    )
