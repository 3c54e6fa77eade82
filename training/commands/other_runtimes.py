"""The commands `vae-lab export-onnx` and `export-mlflow`: bundles for other runtimes."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import can_be_written

NewFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="Folder to write; must not exist.",
        callback=can_be_written("--out", is_folder=True),
    ),
]


def export_onnx(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")], out: NewFolder
) -> None:
    """Write a bundle's encoder and decoder as ONNX files, held against its stored outputs.

    Names, shapes, units and preprocessing are in README.md beside them and in their metadata. Needs
    the extra onnx.

    Example: vae-lab export-onnx models/pretrained/mnist/1 -o mnist-onnx
    """
    from training.export.onnx_files import export_onnx as write

    typer.echo(f"The ONNX files are in {write(bundle, out)}.")


def export_mlflow(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")], out: NewFolder
) -> None:
    """Write a bundle as an MLflow model, whose predict gives latents or ELBOs.

    Needs the extra mlflow.

    Example: vae-lab export-mlflow models/pretrained/mnist/1 -o mnist-mlflow
    """
    from training.export.mlflow_model import export_mlflow as write

    typer.echo(f"The MLflow model is {write(bundle, out)}.")
