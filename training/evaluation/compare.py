"""Several runs side by side: their bounds with errors, sizes, time, and how their recipes differ.

It scores nothing: the numbers are those that training and `vae-lab evaluate` left in the folders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich import box
from rich.table import Column, Table

from models.bundle.schema import Estimate, Evaluation
from training.evaluation.stored import EVALUATION, StoredEvaluation
from training.evaluation.table import describe_estimator
from training.evaluation.trained import TrainedRun, load_run
from training.recipes.objective import ObjectiveConfig
from training.runs.folder import BEST, read_log

NOT_THERE = "-"


def compare_runs(paths: Sequence[Path]) -> Table:
    """A column per run: first what came of it, then the recipe's entries that are not all equal.

    Args:
        paths: Folders of runs, finished or not, with weights.

    Raises:
        ConfigError: One of them is no run, or has no weights yet.
    """
    runs = [load_run(path) for path in paths]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    table = Table(
        "",
        *(Column(name, justify="right", overflow="fold") for name in names),
        caption="+- is one standard error over the images; bounds in nats per image",
        box=box.SIMPLE,
    )
    results = [result_of(run) for run in runs]
    for key in _keys(results):
        table.add_row(key, *(result.get(key, NOT_THERE) for result in results))
    table.add_section()
    entries = [entries_of(run) for run in runs]
    for key in _keys(entries):
        values = [entry.get(key, NOT_THERE) for entry in entries]
        if len(set(values)) > 1:
            table.add_row(key, *values)
    return table


def result_of(run: TrainedRun) -> dict[str, str]:
    """What came of a run, in words, by row."""
    state, objective = run.state, run.recipe.objective
    evaluation = find_evaluation(run)
    lines = read_log(run.path)
    seen = f" of {lines[-1]['epoch']}" if lines else ""
    finished = state.get("stopped_because") or ("finished" if state["finished"] else "not finished")
    return {
        f"validation {validated(objective)}": format_bound(
            state["best_validation_bound_nats"], state.get("best_validation_standard_error_nats")
        ),
        **(test_results(evaluation) if evaluation is not None else {}),
        "parameters": f"{sum(p.numel() for p in run.vae.parameters()):,}",
        "weights": f"{(run.path / BEST).stat().st_size / 2**20:.2f} MiB",
        "trained for": f"{state['seconds'] / 60:.1f} min",
        "best epoch": f"{state['epochs']}{seen}",
        "skipped steps": f"{state['skipped_steps']:,}",
        "ended": finished,
        "hardware": state["hardware"],
    }


def validated(objective: ObjectiveConfig) -> str:
    """What a run of this objective is validated by, in words."""
    if objective.kind == "iwae":
        return f"IWAE, K = {objective.num_samples}"
    if objective.kind == "capacity":
        return f"ELBO, KL held at {objective.capacity_nats:g}"
    if objective.kind in ("autoencoder", "pca"):
        return "-squared error"
    beta = getattr(objective, "beta", 1.0)
    return "ELBO" if beta == 1 else f"ELBO, beta = {beta:g}"


def find_evaluation(run: TrainedRun) -> Evaluation | None:
    """The evaluation that is kept of these very weights, whatever its settings."""
    path = run.path / EVALUATION
    try:
        stored = StoredEvaluation.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return stored.evaluation if stored.weights_sha256 == run.weights_sha256 else None


def test_results(evaluation: Evaluation) -> dict[str, str]:
    """The bounds of an evaluation, in words, by row."""
    rows = {}
    for estimate in evaluation.estimates:
        key = f"{evaluation.split} {describe_estimator(estimate)} ({estimate.n:,} images)"
        rows[key] = format_bound(estimate.mean_nats, estimate.standard_error_nats)
    bits = _tightest(evaluation.estimates).bits_per_dim if evaluation.estimates else None
    if bits is not None:
        rows["bits per dim, tightest bound"] = f"{bits:.4f}"
    if evaluation.rate_nats is not None:
        rows[f"{evaluation.split} rate"] = f"{evaluation.rate_nats:.2f}"
        rows[f"{evaluation.split} distortion"] = f"{evaluation.distortion_nats:.2f}"
    if evaluation.squared_error is not None:
        rows[f"{evaluation.split} squared error"] = f"{evaluation.squared_error:.4f}"
    if evaluation.classification is not None:
        rows[f"{evaluation.split} labels right"] = f"{evaluation.classification.accuracy:.2%}"
    known = len(evaluation.kl_per_dimension_nats)  # 0 where the KL has no closed form
    of_all = f" of {known}" if known else ""
    return {**rows, "active units": f"{evaluation.active_units}{of_all}"}


def format_bound(nats: float | None, error_nats: float | None) -> str:
    """A bound and its standard error, where they are known."""
    if nats is None:
        return NOT_THERE
    return f"{nats:.2f}" if error_nats is None else f"{nats:.2f} +- {error_nats:.2f}"


def entries_of(run: TrainedRun) -> dict[str, str]:
    """A recipe's entries as `--set` names them, and what else the weights depend on."""
    recipe = run.recipe.model_dump(mode="json", exclude={"name"})
    others = {key: run.state[key] for key in ("dataset_sha256", "code_version", "torch_version")}
    return _flat(recipe) | {key: str(value) for key, value in others.items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _tightest(estimates: Sequence[Estimate]) -> Estimate:
    whole = max(estimate.n for estimate in estimates)
    return max((e for e in estimates if e.n == whole), key=lambda estimate: estimate.mean_nats)


def _keys(columns: Sequence[Mapping[str, str]]) -> list[str]:
    """Every key, each after the one that it follows in the first column that has it."""
    keys: list[str] = []
    for column in columns:
        place = 0
        for key in column:
            if key not in keys:
                keys.insert(place, key)
            place = keys.index(key) + 1
    return keys
