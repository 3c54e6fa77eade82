"""The commands `vae-lab plot ...`: each loads models, prints a study's numbers and draws them.

It computes nothing: numbers come from `studies.py`, `latents.py` and `gradients.py`, figures from
`plots.py`.
"""

from collections.abc import Sequence
from csv import DictWriter
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from training.commands.console import wide_console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.evaluation.trained import TrainedModel

app = typer.Typer(
    help="Figures of trained models, with their numbers as a table: runs' folders or bundles.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="A run's folder, or a bundle's.")]
Sources = Annotated[list[Path], typer.Argument(help="Folders of runs or bundles.")]
Runs = Annotated[list[Path], typer.Argument(help="Folders of runs.")]
Output = Annotated[
    Path | None, typer.Option(help="The figure's file; <command>.png otherwise.", dir_okay=False)
]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="Write the numbers there too.", dir_okay=False)
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the data sets are; else VAE_DATA_DIR, else ./data.", file_okay=False),
]
Images = Annotated[
    int, typer.Option(min=0, help="Random test images, the same every time; 0 for all.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the noise.")]
ElboSamples = Annotated[int, typer.Option(min=1, help="Draws per image for the ELBO.")]
IwaeSamples = Annotated[int, typer.Option(min=1, help="K of the IWAE bound.")]


@app.command()
def bounds(
    sources: Sources,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 1000,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    seed: Seed = 0,
) -> None:
    """ELBO, and IWAE bound or exact log p(x), of several models on the same images.

    The table has the mean of paired differences to the first one, with its 95 % interval.

    Example: vae-lab plot bounds runs/digits models/pretrained/digits/1
    """
    from training.studies import bounds as studies
    from training.studies import plots

    models = _load(sources, data_dir, images)
    with Console().status("Scoring ..."):
        rows = studies.compare_bounds(
            models, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed
        )
    _show("bounds", rows, plots.bounds(rows, title=_title(models)), output, csv)


@app.command()
def rate_distortion(
    runs: Runs,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 1000,
    elbo_samples: ElboSamples = 100,
) -> None:
    """Rate against distortion of several runs, as over beta, with lines of equal ELBO.

    Example: vae-lab plot rate-distortion runs/digits runs/digits-beta-4
    """
    from training.studies import plots, rate_distortion

    models = _load(runs, data_dir, images)
    with Console().status("Scoring ..."):
        rows = rate_distortion.rate_distortion(models, num_samples=elbo_samples)
    _show("rate-distortion", rows, plots.rate_distortion(rows, title=_title(models)), output, csv)


@app.command()
def latents(
    source: Source,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 1000,
) -> None:
    """KL of each latent dimension or group, and activity of each dimension, sorted.

    Example: vae-lab plot latents models/pretrained/digits/1
    """
    from training.studies import plots
    from training.studies.latents import latent_use

    (model,) = _load([source], data_dir, images)
    rows = latent_use(model)
    _show("latents", rows, plots.latents(rows, title=model.describe()), output, csv)


@app.command()
def latent_map(
    source: Source,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 1000,
) -> None:
    """Posterior means of test images in two dimensions, coloured by label.

    The two latent dimensions, or the first two principal components of the active ones.

    Example: vae-lab plot latent-map models/pretrained/digits/1
    """
    from training.studies import latent_map as study
    from training.studies import plots

    (model,) = _load([source], data_dir, images)
    found = study.latent_map(model)
    title = f"{model.describe()}\n{found.method}"
    figure = plots.latent_map(found, class_names=model.dataset.class_names, title=title)
    _show("latent-map", study.centres(found), figure, output, csv, csv_rows=found.rows)


@app.command()
def traversals(
    source: Source,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    image: Annotated[
        int, typer.Option(min=0, help="Position of the test image whose mean is the centre.")
    ] = 0,
    origin: Annotated[bool, typer.Option("--origin", help="Take z = 0 for the centre.")] = False,
    label: Annotated[
        int | None, typer.Option(min=0, help="Of a model with labels; else the most probable.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Most dimensions shown.")] = 10,
    steps: Annotated[int, typer.Option(min=2, help="Pictures in a row.")] = 9,
) -> None:
    """Pictures along each latent dimension, the most active first.

    From -3 to 3 of the prior's standard deviations off an image's posterior mean, or off z = 0.

    Example: vae-lab plot traversals models/pretrained/digits/1 --image 3
    """
    from training.studies import plots
    from training.studies import traversals as study

    (model,) = _load([source], data_dir, 0)
    found = study.traversals(
        model,
        image=None if origin else image,
        label=label,
        num_rows=rows,
        num_steps=steps,
    )
    figure = plots.traversals(found, spec=model.spec, title=model.describe())
    _show("traversals", found.rows, figure, output, csv)


@app.command()
def gradient_variance(
    source: Source,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Annotated[int, typer.Option(min=1, help="In the batch that is differentiated.")] = 16,
    samples: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Draws per image; may be repeated; 1, 4 and 16 otherwise."),
    ] = None,
    draws: Annotated[int, typer.Option(min=20, help="Gradients of each estimator.")] = 100,
    seed: Seed = 0,
) -> None:
    """Variance and signal-to-noise ratio of the encoder's gradient, by estimator.

    Of the ELBO: reparameterised, and score function with and without a baseline. Of the IWAE bound:
    plain, and doubly reparameterised (dreg).

    Half a minute for the digits on one core, some minutes for MNIST.

    Example: vae-lab plot gradient-variance models/pretrained/digits/1
    """
    from training.studies import gradients, plots

    (model,) = _load([source], data_dir, 0)
    with Console().status("Differentiating ..."):
        rows = gradients.gradient_variance(
            model,
            num_images=images,
            num_samples=sorted(set(samples or (1, 4, 16))),
            draws=draws,
            seed=seed,
        )
    count = min(images, len(model.x))
    title = (
        f"{model.name}: {model.dataset.name}, test split, a batch of n = {count}, "
        f"{rows[0].draws} gradients each"
    )
    _show("gradient-variance", rows, plots.gradient_variance(rows, title=title), output, csv)


@app.command()
def iwae_gap(
    runs: Runs,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 1000,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    seed: Seed = 0,
) -> None:
    """Bounds of runs that were trained by the ELBO and by IWAE bounds, over the K of training.

    Example: vae-lab plot iwae-gap runs/digits runs/digits-iwae-5
    """
    from training.studies import iwae_gap, plots

    models = _load(runs, data_dir, images)
    with Console().status("Scoring ..."):
        rows = iwae_gap.iwae_gap(
            models, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed
        )
    _show("iwae-gap", rows, plots.iwae_gap(rows, title=_title(models)), output, csv)


@app.command()
def label_accuracy(
    runs: Runs,
    output: Output = None,
    csv: Csv = None,
    data_dir: DataDir = None,
    images: Images = 0,
) -> None:
    """Accuracy of runs with labels over the number of labels known in training.

    Beside that of logistic regression on the pixels of the same labelled images.

    Example: vae-lab plot label-accuracy runs/digits-m2-1 runs/digits-m2-10
    """
    from training.studies import accuracy, plots

    models = _load(runs, data_dir, images)
    with Console().status("Classifying ..."):
        rows = accuracy.label_accuracy(models)
    _show("label-accuracy", rows, plots.label_accuracy(rows, title=_title(models)), output, csv)


def _load(paths: Sequence[Path], data_dir: Path | None, images: int) -> "list[TrainedModel]":
    from training.evaluation.trained import load_trained_model

    return [load_trained_model(path, data_dir=data_dir, num_images=images) for path in paths]


def _title(models: "Sequence[TrainedModel]") -> str:
    """Names, all of a few or the first and the last of many, and the data."""
    names = [model.name for model in models]
    few = ", ".join(names) if len(names) <= 4 else f"{names[0]} ... {names[-1]}, {len(names)} runs"
    return f"{few}\n{models[0].describe_images()}"


def _show(
    command: str,
    rows: Sequence[Any],
    figure: "Figure",
    output: Path | None,
    csv: Path | None,
    *,
    csv_rows: Sequence[Any] | None = None,
) -> None:
    """Print the rows, and write the figure and perhaps the numbers."""
    from training.studies import plots

    console = wide_console()
    console.print(table_of(rows))
    path = output or Path(f"{command}.png")
    plots.save(figure, path)
    written = [f"The figure is {path}."]
    if csv is not None:
        write_csv(csv, rows if csv_rows is None else csv_rows)
        written.append(f"The numbers are in {csv}.")
    console.print(*written, soft_wrap=True, markup=False, highlight=False)


def table_of(rows: Sequence[Any]) -> Table:
    """Rows of one study as a table, a column per field."""
    names = [field.name for field in fields(rows[0])]
    captions = {"error": "errors are one standard error", "_low_": "low to high covers with 95 %"}
    said = [words for part, words in captions.items() if any(part in name for name in names)]
    table = Table(
        *(Column(name.replace("_", " "), justify="right") for name in names),
        caption="; ".join(said),
        box=box.SIMPLE,
    )
    for row in rows:
        table.add_row(*(_cell(name, value) for name, value in asdict(row).items()))
    return table


def _cell(name: str, value: Any) -> str:
    from training.evaluation.table import format_optional

    if not isinstance(value, float):
        return str(value)
    return format_optional(value, ".3f" if name.endswith("_nats") else ".4g")


def write_csv(path: Path, rows: Sequence[Any]) -> None:
    """Rows of one study as comma-separated values, unrounded, with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
