"""Several runs side by side: bounds with errors, sizes, training time, and differing recipes.

It computes no score: the numbers are those that training and `vae-lab evaluate` have stored.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Column, Table

from models.bundle.schema import Evaluation
from models.vae.model import VAE
from training.evaluation.proportion import format_interval
from training.evaluation.quality_tables import format_accuracy
from training.evaluation.stored import find_evaluation
from training.evaluation.table import (
    ABSENT,
    count_active_units,
    describe_estimator,
    format_with_error,
)
from training.recipes.objective import ObjectiveConfig
from training.runs.folder import BEST, Run, read_log, read_run


def compare_runs(paths: Sequence[Path]) -> Table:
    """A column per run: its results, then the recipe's entries in which the runs differ.

    Args:
        paths: Folders of runs, finished or not, with weights.

    Raises:
        ConfigError: A folder holds no run, or one without weights.
    """
    runs = [read_run(path) for path in paths]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    table = Table(
        "",
        *(Column(name, justify="right", overflow="fold") for name in names),
        caption="+- is one standard error over the images; bounds in nats per image",
        box=box.SIMPLE,
    )
    results = [list_results(run) for run in runs]
    for key in _keys(results):
        table.add_row(key, *(result.get(key, ABSENT) for result in results))
    table.add_section()
    entries = [list_entries(run) for run in runs]
    for key in _keys(entries):
        values = [entry.get(key, ABSENT) for entry in entries]
        if len(set(values)) > 1:
            table.add_row(key, *values)
    return table


def list_results(run: Run) -> dict[str, str]:
    """The results of a run as text, by the name of their row."""
    state = run.state
    evaluation = find_evaluation(run.path)
    lines = read_log(run.path)
    seen = f" of {lines[-1]['epoch']}" if lines else ""
    ended = state.get("stopped_because") or ("finished" if state["finished"] else "not finished")
    num_parameters = sum(parameter.numel() for parameter in VAE(run.recipe.vae).parameters())
    return {
        f"validation {name_validation_bound(run.recipe.objective)}": format_with_error(
            state["best_validation_bound_nats"], state.get("best_validation_standard_error_nats")
        ),
        **(list_test_scores(evaluation) if evaluation is not None else {}),
        "parameters": f"{num_parameters:,}",
        "weights": f"{(run.path / BEST).stat().st_size / 2**20:.2f} MiB",
        "trained for": f"{state['seconds'] / 60:.1f} min",
        "best epoch": f"{state['epochs']}{seen}",
        "skipped steps": f"{state['skipped_steps']:,}",
        "ended": ended,
        "hardware": state["hardware"],
    }


def name_validation_bound(objective: ObjectiveConfig) -> str:
    """The bound that validates a run of this objective."""
    if objective.kind == "iwae":
        return f"IWAE, K = {objective.num_samples}"
    if objective.kind == "capacity":
        return f"ELBO, KL held at {objective.capacity_nats:g}"
    if objective.kind in ("autoencoder", "pca"):
        return "-squared error"
    beta = getattr(objective, "beta", 1.0)
    return "ELBO" if beta == 1 else f"ELBO, beta = {beta:g}"


def list_test_scores(evaluation: Evaluation) -> dict[str, str]:
    """The scores of an evaluation as text, by the name of their row."""
    split, rows = evaluation.split, {}
    for estimate in evaluation.estimates:
        key = f"{split} {describe_estimator(estimate)} ({estimate.n:,} images)"
        rows[key] = format_with_error(estimate.mean_nats, estimate.standard_error_nats)
    if (bits := _tightest_bits_per_dim(evaluation)) is not None:
        rows["bits per dim, tightest bound"] = f"{bits:.4f}"
    if evaluation.rate_nats is not None:
        rows[f"{split} rate"] = f"{evaluation.rate_nats:.2f}"
        rows[f"{split} distortion"] = f"{evaluation.distortion_nats:.2f}"
    if evaluation.squared_error is not None:
        rows[f"{split} squared error"] = f"{evaluation.squared_error:.4f}"
    for found in evaluation.reconstructions:
        key = "" if found.kind == "model" else " of a PCA of as many numbers"
        rows[f"{split} squared error per pixel{key}"] = f"{found.mean_squared_error:.5f}"
    for probed in evaluation.embeddings:
        if probed.kind == "posterior_mean":
            accuracy = format_accuracy(probed.linear_accuracy, probed.n)
            rows[f"{split} labels right by a linear probe, %"] = accuracy
    if evaluation.classification is not None:
        share = 100 * evaluation.classification.accuracy
        interval = format_interval(evaluation.classification)
        rows[f"{split} labels right, %"] = f"{share:.2f} ({interval})"
    return {**rows, "active units": count_active_units(evaluation)}


def _tightest_bits_per_dim(evaluation: Evaluation) -> float | None:
    """Bits per dim by the tightest bound of all images; None for a density."""
    estimates = evaluation.estimates
    whole = [e for e in estimates if e.n == max(estimate.n for estimate in estimates)]
    best = max(whole, key=lambda estimate: estimate.mean_nats, default=None)
    return None if best is None else best.bits_per_dim


def list_entries(run: Run) -> dict[str, str]:
    """A recipe's entries by their dotted names, and the data and code that made the weights."""
    recipe = run.recipe.model_dump(mode="json", exclude={"name"})
    others = {key: run.state[key] for key in ("dataset_sha256", "code_version", "torch_version")}
    return flatten(recipe) | {key: str(value) for key, value in others.items()}


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Entries by their dotted names; those without a value are left out."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif value is not None:
            flat[f"{prefix}{key}"] = str(value)
    return flat


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
