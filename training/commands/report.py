"""The commands `vae-lab runs` and `vae-lab report`: which runs there are, and a page of one."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ConfigError
from training.commands.tables import table_that_fits, wide_console
from training.errors import RunError

SORTS = ("newest", "name", "state", "bound", "seconds", "epochs", "data")
_LEAST = ("unit", "objective", "time", "exported", "evaluated", "data")
"""Columns that a narrow window has no room for, the first ones first."""


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = Path("runs"),
    sort: Annotated[
        str, typer.Option(help="newest, name, state, bound, seconds, epochs or data.")
    ] = "newest",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list of runs, numbers unrounded.")
    ] = False,
) -> None:
    """List the runs of a folder: state, epochs, best bound, and what was made of them.

    Example: vae-lab runs --sort bound
    """
    from training.evaluation.listing import list_runs, shown

    if sort not in SORTS:
        raise ConfigError(
            f"--sort {sort} is not allowed. Allowed: {', '.join(SORTS)}. Take --sort newest.",
            parameter="sort",
            received=sort,
            allowed=list(SORTS),
            suggestion="newest",
        )
    found = list_runs(folder, sort=sort)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps([asdict(run) for run in found], indent=2))
    elif found:
        console = wide_console()
        table = table_that_fits(shown(found), console, least=_LEAST, flexible="why")
        console.print(table)
    else:
        typer.echo(f"There are no runs in {folder}. Train a first one: vae-lab train digits")


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
) -> None:
    """Write a run's page, report.html: curves, pictures, latents, scores, recipe and origin.

    Example: vae-lab report runs/digits
    """
    from training.report.page import write_report

    typer.echo(f"The report is {write_report(run)}.")


def renew_report(source: Path) -> None:
    """Write the page of a run anew, after its folder has got scores; a bundle has no page."""
    from training.report.page import write_report
    from training.runs.folder import is_run

    if not is_run(source):
        return
    try:
        typer.echo(f"The report is {write_report(source)}.")
    except RunError as error:  # a read-only folder: the scores are on the screen
        typer.echo(f"Warning: the report is not written: {error.__cause__}.", err=True)
