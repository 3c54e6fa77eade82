"""The trials of a sweep as rows, as a table, as JSON, and as the recipe of the best one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from shlex import quote
from typing import Any

from rich import box
from rich.table import Column, Table

from training.evaluation.compare import name_validation_bound
from training.evaluation.table import format_optional, format_with_error
from training.recipes.file import to_toml
from training.recipes.recipe import Recipe
from training.studies.sweep_space import Sweep


@dataclass(frozen=True)
class Outcome:
    """A trial, as far as it has come."""

    trial: int
    state: str
    """complete, pruned, failed or running."""
    bound_nats: float | None
    """The best validation bound."""
    standard_error_nats: float | None
    """Standard error of the bound over the validation images."""
    epoch: int | None
    """Epoch of the best validation."""
    seconds: float | None
    """Time that was spent in training steps."""
    seed: int | None
    values: dict[str, Any]
    """What varied, by the dotted names of the entries."""
    run: str
    """Folder of the run."""
    reason: str
    """Why it was pruned or failed; empty otherwise."""


def find_best(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The complete trial with the best bound, the first of equals; None if there is none."""
    complete = [outcome for outcome in outcomes if outcome.state == "complete"]
    return max(complete, key=_bound, default=None)


def _bound(outcome: Outcome) -> float:
    return -math.inf if outcome.bound_nats is None else outcome.bound_nats


def count_states(outcomes: Sequence[Outcome]) -> str:
    """How many trials are in which state, in words: `12 complete, 1 failed, 7 pruned`."""
    states = sorted(outcome.state for outcome in outcomes)
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def describe_outcome(outcome: Outcome) -> str:
    """A trial that ended, in a line."""
    values = ", ".join(f"{key} = {_value(value)}" for key, value in outcome.values.items())
    if outcome.state == "failed":
        return f"Trial {outcome.trial} failed ({values}): {outcome.reason}"
    bound = _format_bound(outcome)
    state = "pruned, " if outcome.state == "pruned" else ""
    return (
        f"Trial {outcome.trial}: {state}{bound} at epoch {outcome.epoch}, "
        f"{outcome.seconds:.0f} s ({values})"
    )


def tabulate(outcomes: Sequence[Outcome], sweep: Sweep) -> Table:
    """A row per trial, the best bounds first."""
    keys = [variation.key for variation in sweep.space]
    table = Table(
        *(Column(name, justify="right") for name in ("trial", "state", "validation bound")),
        *(Column(name, justify="right") for name in ("epoch", "seconds", *keys)),
        title=f"{sweep.folder}: {_name_bound(sweep)}",
        caption="+- is one standard error over the validation images",
        box=box.SIMPLE,
    )
    for outcome in sorted(outcomes, key=_bound, reverse=True):
        table.add_row(
            f"{outcome.trial}",
            outcome.state,
            _format_bound(outcome),
            str(outcome.epoch or "-"),
            format_optional(outcome.seconds, ".0f"),
            *(_value(outcome.values.get(key, "-")) for key in keys),
        )
    return table


def describe_best(sweep: Sweep, outcomes: Sequence[Outcome], best: Outcome) -> list[str]:
    """Where the best recipe comes from, and what its bound is worth, in lines."""
    bound = _format_bound(best)
    return [
        f"The best of {len(outcomes)} trials ({count_states(outcomes)}) of the sweep "
        f"{sweep.folder}: trial {best.trial}, seed {best.seed}.",
        f"Its validation bound ({_name_bound(sweep)}) is {bound}. It was chosen by that bound, "
        "which is therefore optimistic.",
        f"Score it once on the test split: vae-lab evaluate {quote(best.run)}",
    ]


def best_toml(sweep: Sweep, outcomes: Sequence[Outcome], best: Outcome, recipe: Recipe) -> str:
    """The best trial's recipe as TOML that says where it comes from, under a name of its own."""
    named = recipe.model_copy(update={"name": f"{sweep.recipe.name[:59]}-best"})
    varied = [f"Varied: {variation}" for variation in sweep.space]
    lines = [*describe_best(sweep, outcomes, best), *varied]
    return "".join(f"# {line}\n" for line in lines) + to_toml(named)


def to_json(
    sweep: Sweep, outcomes: Sequence[Outcome], importances: Mapping[str, float]
) -> dict[str, Any]:
    """The sweep as JSON holds it."""
    best = find_best(outcomes)
    return {
        "sweep": str(sweep.folder),
        "bound": _name_bound(sweep),
        "seed": sweep.recipe.seed,
        "varied": [str(variation) for variation in sweep.space],
        "best_trial": None if best is None else best.trial,
        "importances": dict(importances),
        "trials": [asdict(outcome) for outcome in outcomes],
    }


def _name_bound(sweep: Sweep) -> str:
    unit = "" if sweep.recipe.vae.posterior.kind == "point" else ", nats per image"
    return f"{name_validation_bound(sweep.recipe.objective)}{unit}"


def _format_bound(outcome: Outcome) -> str:
    form = ".2f" if abs(_bound(outcome)) < 1e6 else ".2e"  # of weights about to diverge
    return format_with_error(outcome.bound_nats, outcome.standard_error_nats, form)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
