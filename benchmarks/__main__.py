"""The command `python -m benchmarks`: chooses the parts, the seconds and the threads."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import media, scoring, serving
from benchmarks.timing import machine


class Part(StrEnum):
    """Part of the project to measure."""

    scoring = "scoring"
    media = "media"
    serving = "serving"


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="Parts to measure; all by default.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Seconds for each part, without its start.")
    ] = 24.0,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of one operator, in the project and its floor.")
    ] = 1,
) -> None:
    """Measure the project beside its floors, in one run."""
    console = Console(width=124)
    console.print(machine(threads))
    for part in parts or list(Part):
        run = {Part.scoring: scoring.run, Part.media: media.run, Part.serving: serving.run}[part]
        for table in run(seconds=seconds, threads=threads):
            console.print(table)


if __name__ == "__main__":
    typer.run(main)
