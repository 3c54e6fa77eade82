"""The command `vae-lab import-diffusers`: the autoencoder of a diffusion model as a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import BundleVersion, chosen_version, within


def import_diffusers(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of an AutoencoderKL, or of a pipeline that has it as vae/."),
    ],
    repository: Annotated[
        Path,
        typer.Option(
            "--repository",
            "--model-repository",
            "-o",
            help="Folder of <model>/<version> folders, where the bundle is written.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the model; the folder's otherwise.")
    ] = None,
    version: BundleVersion = "next",
    height: Annotated[
        int | None,
        typer.Option(
            callback=within("--height", 1, 4096),
            help="Height of the pictures, in pixels; the model's sample_size otherwise.",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            callback=within("--width", 1, 4096),
            help="Width of the pictures, in pixels; the model's sample_size otherwise.",
        ),
    ] = None,
) -> None:
    """Make a bundle of an AutoencoderKL that diffusers saved as safetensors.

    Nothing is trained or unpickled, and diffusers need not be installed.

    Example: vae-lab import-diffusers sd-vae-ft-mse --repository my-models
    """
    from training.export.import_diffusers import import_diffusers as write_bundle

    made = write_bundle(
        folder,
        repository=repository,
        name=name,
        version=chosen_version(version),
        height=height,
        width=width,
    )
    for note in made.notes:
        typer.echo(note)
    typer.echo(
        f"A decoding costs {made.decoding_cost:,.0f} units. Set VAE_MAX_REQUEST_COST to as much "
        "for each image of a request."
    )
    typer.echo(f"The bundle is {made.path}.")
