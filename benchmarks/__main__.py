"""The command `python -m benchmarks`: which parts run, and for how long; it measures nothing."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import media, scoring, serving
from benchmarks.timing import machine


class Part(StrEnum):
    """What can be measured."""

    scoring = "scoring"
    media = "media"
    serving = "serving"


def main(
    parts: Annotated[
        list[Part] | None, typer.Argument(help="All of them if none is named.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="For each part, its start not counted.")
    ] = 24.0,
    threads: Annotated[int, typer.Option(min=1, help="Of one operator, on either side.")] = 1,
) -> None:
    """Measure the project against its floors, side by side in one run."""
    console = Console(width=124)
    console.print(machine(threads))
    for part in parts or list(Part):
        run = {Part.scoring: scoring.run, Part.media: media.run, Part.serving: serving.run}[part]
        for table in run(seconds=seconds, threads=threads):
            console.print(table)


if __name__ == "__main__":
    typer.run(main)
