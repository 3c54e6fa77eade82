"""A batch from its command line to its last file."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from app.operations.table import Operation
from deploy.batch.engines import Done, Work, run_here, run_processes, run_ray
from deploy.batch.job import MANIFEST, Job, claim, find_operation, read_manifest
from deploy.batch.output import SKIPPED, missing_blocks, write_skipped
from deploy.batch.places import Place, find_place
from deploy.batch.worker import Setup, Worker
from models.errors import ConfigError, printable
from training.progress_bar import ProgressBar

Engine = Literal["local", "ray"]
SHOWN = 20
"""Most files that are named as left out."""


def run_batch(
    name: str,
    text: str | None,
    *,
    out: str | None,
    model: tuple[str | None, int | None],
    repository: Path | None,
    parameters: Sequence[str],
    seed: int | None,
    n: int,
    engine: Engine,
    workers: int,
    block: int,
    batch_size: int,
    console: Console,
) -> None:
    """Write the files that are missing, and say what was skipped.

    Args:
        name: The operation.
        text: The input; None for an operation that takes none.
        out: Folder or URI of the files.
        model: Name and version; None each for the default and the highest.
        repository: Folder of the bundles; the settings' otherwise.
        parameters: `name=value` each.
        seed: Seed; that of the manifest, or a drawn one, otherwise.
        n: Number of items of an operation that takes none.
        engine: Where workers run.
        workers: Their number.
        block: Rows of a file.
        batch_size: Most items of one pass.
        console: Where progress is shown.

    Raises:
        CallError: The model or the input is not there, or the app refuses a parameter.
        ConfigError: The operation or a parameter is unknown, or the folder has other results.
    """
    operation = find_operation(name)
    if out is None:
        raise ConfigError(
            "The results need a folder. Name one: --out results.parquet", parameter="out"
        )
    place = find_place(out)
    setup = Setup(repository, request_items=batch_size, threads=1)
    worker = Worker(*model, setup)
    try:
        items = worker.items(text, operation, n=n)
        job = Job(
            operation=operation.name,
            parameters=_parameters(operation, parameters, seed, place),
            model=worker.description["name"],
            version=worker.description["version"],
            digest=worker.description["digest"],
            input=text or "",
            items=items.fingerprint(),
            count=items.count,
            block=block,
        )
        worker.try_one(job)
        claim(place, job)
        blocks = missing_blocks(place, job)
        work = Work(job, setup, items, out)
        _say(console, job, blocks, items.left_out)
        if engine == "ray":
            done = run_ray(work, blocks, workers)
        elif workers == 1 or len(blocks) < 2:
            done = run_here(work, blocks, worker)
        else:
            done = run_processes(work, blocks, min(workers, len(blocks)))
        _show(done, job, blocks, console)
    finally:
        worker.close()
    skipped = write_skipped(place, job)
    said = f"Wrote {job.count:,} rows in {job.num_blocks:,} files to {printable(out)}."
    if skipped:
        said += f" {skipped:,} have no answer: {printable(place.join(SKIPPED))} says why."
    console.print(said, soft_wrap=True, markup=False, highlight=False)


def _parameters(
    operation: Operation, given: Sequence[str], seed: int | None, place: Place
) -> dict[str, str]:
    """The parameters of each request.

    Raises:
        ConfigError: One is unknown, or is set by another option.
    """
    known = [
        one for one in operation.parameters.model_fields if one not in ("format", "first_item", "n")
    ]
    found: dict[str, str] = {}
    for entry in given:
        key, sign, value = entry.partition("=")
        if not sign or key not in known:
            raise ConfigError(
                f"--set {entry}: {operation.name} has no such parameter. Allowed: "
                f"{', '.join(known)}. Write --set name=value.",
                parameter="set",
                received=entry,
                allowed=known,
            )
        found[key] = value
    if "seed" in known and seed is not None:
        found["seed"] = str(seed)
    elif "seed" in known and "seed" not in found:
        held = read_manifest(place)["parameters"] if MANIFEST in place.names() else {}
        found["seed"] = held.get("seed", str(secrets.randbits(53)))
    return found


def _say(
    console: Console, job: Job, blocks: Sequence[int], left_out: Sequence[tuple[str, str]]
) -> None:
    """Say what is computed, and what is no input."""
    lines = [f"Left out: {name}: {reason}" for name, reason in left_out[:SHOWN]]
    if len(left_out) > SHOWN:
        lines.append(f"Left out: {len(left_out) - SHOWN:,} more.")
    kept = job.num_blocks - len(blocks)
    seed = f", seed {job.parameters['seed']}" if "seed" in job.parameters else ""
    lines.append(f"{job.operation} of {job.count:,} items by {job.model} {job.version}{seed}.")
    if kept:
        lines.append(f"{kept:,} of {job.num_blocks:,} files are there already.")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _show(done: Iterator[Done], job: Job, blocks: Sequence[int], console: Console) -> None:
    """Show progress while blocks come."""
    total = sum(stop - start for start, stop in map(job.rows, blocks))
    with ProgressBar(console=console, transient=True) as progress:
        task = progress.add_task(job.operation, total=total)
        for one in done:
            start, stop = job.rows(one.block)
            progress.advance(task, stop - start)
