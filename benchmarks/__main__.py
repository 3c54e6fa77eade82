"""The command `python -m benchmarks`: chooses the parts and how long they measure."""

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import (
    anomaly,
    batch,
    coverage,
    diffusers_decoding,
    disturbances,
    estimates,
    fairness,
    folders,
    media,
    neighbours,
    opcodes,
    overload,
    ray_serving,
    reaching,
    refinement,
    scaling,
    scoring,
    serving,
    soak,
    streaming,
    training,
)
from benchmarks.timing import as_markdown, machine


class Part(StrEnum):
    """Part of the project to measure."""

    scoring = "scoring"
    estimates = "estimates"
    media = "media"
    folders = "folders"
    opcodes = "opcodes"
    serving = "serving"
    overload = "overload"
    fairness = "fairness"
    disturbances = "disturbances"
    soak = "soak"
    streaming = "streaming"
    training = "training"
    reaching = "reaching"
    refinement = "refinement"
    coverage = "coverage"
    anomaly = "anomaly"
    neighbours = "neighbours"
    diffusers = "diffusers"
    scaling = "scaling"
    batch = "batch"
    ray = "ray"


def main(
    parts: Annotated[
        list[Part] | None,
        typer.Argument(
            help="Parts to measure; by default all that need no data set, but soak, streaming, "
            "reaching, refinement, coverage, anomaly, neighbours, diffusers, scaling, batch and "
            "ray."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Seconds for scoring, estimates and media each.")
    ] = 24.0,
    threads: Annotated[
        int,
        typer.Option(
            min=1,
            help="Threads of one operator of scoring, estimates, training and their floors.",
        ),
    ] = 1,
    quick: Annotated[
        bool, typer.Option(help="Few and short rounds, to see that it works.")
    ] = False,
    peers_python: Annotated[
        str,
        typer.Option(help="Python that has LitServe, BentoML, mosec and pythae.", metavar="PATH"),
    ] = sys.executable,
    pictures: Annotated[
        int | None,
        typer.Option(
            min=10,
            help="Pictures of folders and batch, by default 20,000, of streaming, 1,000,000, and "
            "of refinement, 100 of each model.",
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes of the soak.")] = 10.0,
    markdown: Annotated[bool, typer.Option(help="Print the tables in Markdown.")] = False,
) -> None:
    """Measure the project beside its floors, in one run."""
    console = Console(width=124)
    console.print(machine(threads))
    runs: dict[Part, Callable[[], Iterator[Table]]] = {
        Part.scoring: lambda: scoring.run(seconds=seconds, threads=threads),
        Part.estimates: lambda: estimates.run(
            seconds=seconds, peers_python=peers_python, threads=threads
        ),
        Part.media: lambda: media.run(seconds=seconds, threads=threads),
        Part.folders: lambda: folders.run(pictures=500 if quick else pictures or 20_000),
        Part.opcodes: lambda: opcodes.run(rounds=2 if quick else opcodes.ROUNDS),
        Part.serving: lambda: serving.run(quick=quick, peers_python=peers_python),
        Part.overload: lambda: overload.run(quick=quick),
        Part.fairness: lambda: fairness.run(quick=quick),
        Part.disturbances: lambda: disturbances.run(quick=quick),
        Part.soak: lambda: soak.run(minutes=minutes),
        Part.streaming: lambda: streaming.run(pictures=10_000 if quick else pictures or 1_000_000),
        Part.training: lambda: training.run(
            quick=quick, peers_python=peers_python, threads=threads
        ),
        Part.reaching: lambda: reaching.run(
            quick=quick, peers_python=peers_python, threads=threads
        ),
        Part.refinement: lambda: refinement.run(quick=quick, threads=threads, images=pictures),
        Part.coverage: lambda: coverage.run(trials=100 if quick else 2000),
        Part.anomaly: lambda: anomaly.run(quick=quick, threads=threads),
        Part.neighbours: lambda: neighbours.run(quick=quick, threads=threads),
        Part.diffusers: lambda: diffusers_decoding.run(
            size=64 if quick else 256, rounds=1 if quick else 2, threads=threads
        ),
        Part.scaling: lambda: scaling.run(quick=quick),
        Part.batch: lambda: batch.run(pictures=1_000 if quick else pictures or 20_000),
        Part.ray: lambda: ray_serving.run(quick=quick),
    }
    on_request = (
        *(Part.soak, Part.streaming, Part.reaching, Part.refinement),
        *(Part.coverage, Part.anomaly, Part.neighbours, Part.diffusers),
        *(Part.scaling, Part.batch, Part.ray),
    )
    for part in parts or [part for part in Part if part not in on_request]:
        for made in runs[part]():
            if markdown:
                print(as_markdown(made))
            else:
                console.print(made)


if __name__ == "__main__":
    typer.run(main)
