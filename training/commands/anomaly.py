"""The commands `vae-lab calibrate` and `vae-lab ood`: alarms of bundles, and what they find."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.commands.options import DataDir, Device, NextVersionRepository, can_be_written
from training.commands.tables import wide_console


def calibrate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    pictures: Annotated[
        str,
        typer.Argument(
            help="Good pictures that the model was not trained on: a folder, a file, or a known "
            "data set."
        ),
    ],
    repository: NextVersionRepository = None,
    regret: Annotated[
        bool,
        typer.Option(
            "--regret",
            help="Score by the likelihood regret too: a posterior is refined for each picture, "
            "here and by the service, which takes up to a second each.",
        ),
    ] = False,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Write a bundle's next version, whose anomaly p-values are among your good pictures.

    Nothing is trained: the weights stay.

    Example: vae-lab calibrate models/pretrained/mnist/1 good/
    """
    from training.export.calibrate import calibrate as write_version
    from training.runs.hardware import find_device

    path = write_version(
        bundle,
        pictures,
        repository=repository,
        data_dir=data_dir,
        device=find_device(device),
        console=Console(),
        with_regret=regret,
    )
    typer.echo(f"The bundle is {path}.")


def ood(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    normal: Annotated[
        str,
        typer.Option(help="Good pictures that were not calibrated on: a folder, file or data set."),
    ],
    odd: Annotated[
        list[str],
        typer.Option(help="Odd pictures: a folder, a file or a known data set. Repeat for more."),
    ],
    plot: Annotated[
        Path | None,
        typer.Option(
            help="PNG of the ROC curves to write.",
            callback=can_be_written("--plot"),
        ),
    ] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Measure how well a bundle's anomaly scores tell odd pictures from good ones.

    Example: vae-lab ood models/pretrained/fashion-mnist/1 --normal fashion-mnist --odd mnist
    """
    from training.evaluation.odd_pictures import format_detections, measure_detection
    from training.runs.hardware import find_device

    rows, scores = measure_detection(
        bundle,
        normal,
        odd,
        data_dir=data_dir,
        device=find_device(device),
        console=Console(stderr=True),
    )
    wide_console().print(format_detections(rows))
    if plot is not None:
        from training.studies import plots

        title = f"{bundle.resolve().parent.name}: odd pictures"
        plots.save(plots.roc_curves(scores, good=normal, title=title), plot)
        typer.echo(f"Wrote {plot}.")
