"""The command `vae-lab batch`."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from models.cpus import usable_cpus

_EXAMPLES = """
Examples:

    vae-lab batch score photos/ -o scores.parquet

    vae-lab batch encode s3://bucket/photos -o s3://bucket/latents --workers 8

    vae-lab batch sample --n 100000 --seed 1 -o samples.parquet
"""


def batch(
    operation: Annotated[
        str,
        typer.Argument(
            help="score (the ELBO), encode, sample, or another operation of the service whose "
            "answer has a row for each item."
        ),
    ],
    input: Annotated[
        str | None,
        typer.Argument(
            help="Folder of pictures, .npy, .npz, .parquet or a folder of these; or a URI, such as "
            "s3://bucket/photos. sample takes none."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Folder or URI of the Parquet files.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model by name; absent: the default.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Version of the model; absent: the highest.")
    ] = None,
    model_repository: Annotated[
        Path | None,
        typer.Option(help="Folder of <model>/<version>; VAE_MODEL_REPOSITORY otherwise."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the operation, as in --set num_samples=100."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all noise; drawn and kept if absent.")
    ] = None,
    n: Annotated[int, typer.Option(min=1, help="Number of samples, for sample.")] = 1000,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="local: processes of this machine; ray: actors of Ray Data."),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes or actors, a CPU each; absent: the CPUs here."),
    ] = None,
    block: Annotated[int, typer.Option(min=1, help="Rows of a file, and of a worker's turn.")] = (
        1000
    ),
    batch_size: Annotated[
        int, typer.Option(min=1, help="Most items of one pass; fewer take less memory.")
    ] = 100,
) -> None:
    """Score, encode or sample many items into Parquet files, by many workers.

    Stopped or killed, the same command goes on. Rows are those of the service for the same seed,
    whatever the number of workers.
    """
    from deploy.batch.run import run_batch  # help needs no torch
    from models.errors import VAEError
    from vae_client.errors import CallError

    try:
        run_batch(
            operation,
            input,
            out=out,
            model=(model, version),
            repository=model_repository,
            parameters=parameters or (),
            seed=seed,
            n=n,
            engine=engine,
            workers=workers or usable_cpus(),
            block=block,
            batch_size=batch_size,
            console=Console(),
        )
    except CallError as error:
        raise VAEError(str(error)) from error


batch.__doc__ = f"{batch.__doc__}\n{_EXAMPLES}"
