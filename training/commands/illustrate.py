"""The command `vae-lab illustrate`: what a bundle shows of held-out pictures on a page."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import DataDir, NextVersionRepository, PublishedExamples


def illustrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    pictures: Annotated[
        str | None,
        typer.Argument(
            help="Pictures that the model was not trained on: a folder, a file, or a known data "
            "set; the test split of the bundle's own data otherwise."
        ),
    ] = None,
    examples: PublishedExamples = None,
    repository: NextVersionRepository = None,
    data_dir: DataDir = None,
) -> None:
    """Write a bundle's next version, with held-out pictures and a map of their latents.

    Nothing is trained: the weights stay.

    Example: vae-lab illustrate models/pretrained/fashion-mnist/1 --repository my-models
    """
    from training.export.illustrate import illustrate as write_version

    path = write_version(
        bundle,
        pictures,
        with_examples=examples,
        repository=repository,
        data_dir=data_dir,
        console=Console(),
    )
    typer.echo(f"The bundle is {path}.")
