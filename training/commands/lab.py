"""The command `vae-lab`: train, compare-runs, evaluate, export, datasets.

It reads arguments and prints; it computes nothing: each command calls one function of this package.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, no_type_check

import typer
from rich.console import Console
from rich.table import Table

from models.errors import ConfigError, VAEError
from training.commands import plot as plot_cli
from training.commands.console import wide_console
from training.data.catalogue import DATASETS
from training.data.datasets import at_hand, find_path, resolve_data_dir
from training.errors import DatasetError, Interrupted
from training.recipes.file import RECIPES, load_recipe

if TYPE_CHECKING:
    from training.data.datasets import Dataset
    from training.evaluation.evaluate import EvaluationSettings
    from training.recipes.recipe import Recipe


app = typer.Typer(
    name="vae-lab",
    help="Train, evaluate and export variational autoencoders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
datasets_app = typer.Typer(invoke_without_command=True)
app.add_typer(datasets_app, name="datasets")
app.add_typer(plot_cli.app, name="plot")

DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the data sets are; else VAE_DATA_DIR, else ./data.", file_okay=False),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU if there is one.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the noise and of the subset.")]
ElboSamples = Annotated[int, typer.Option(min=1, help="Draws per image for the ELBO.")]
IwaeSamples = Annotated[int, typer.Option(min=1, help="K of the IWAE bound of all images.")]
Subset = Annotated[
    int, typer.Option(min=0, help="Random images that also get bounds of large K; 0 for none.")
]
SubsetSamples = Annotated[
    list[int] | None,
    typer.Option(min=1, help="K of such a bound; may be repeated; 1000 and 5000 otherwise."),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch missing data files from their publisher.")
]


@app.command()
def train(
    source: Annotated[
        str,
        typer.Argument(
            help="A recipe file, the name of one shipped here, or a data set: its name, or the "
            "path of a folder of pictures, .npz or .npy. A recipe is chosen for a data set."
        ),
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change one entry, as in --set seed=2.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the run is kept; runs/<name> otherwise.")
    ] = None,
    data_dir: DataDir = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        str | None, typer.Option(help="Instead of the recipe's: 32-true, bf16-mixed, ...")
    ] = None,
    labels_per_class: Annotated[
        int | None,
        typer.Option(min=0, help="Labels known of each class, for the objective m2; 0 for all."),
    ] = None,
    limit_minutes: Annotated[
        float | None, typer.Option(min=0, help="Write a checkpoint and end after this time.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write curves and pictures into the run's folder.")
    ] = True,
    download: Download = False,
) -> None:
    """Train the model that a recipe describes, or one that suits a data set.

    Example: vae-lab train digits
    """
    from training.data.datasets import load
    from training.fit.train import train as run_training
    from training.recipes.choose import recipe_name
    from training.runs.folder import RECIPE

    changes = overrides or []
    flags = {"training.precision": precision, "dataset.labels_per_class": labels_per_class}
    changes += [f"{key}={value}" for key, value in flags.items() if value is not None]
    console, dataset, comments = Console(), None, None
    path = find_recipe(source, data_dir=data_dir)
    stored = (run_dir or Path("runs") / recipe_name(source)) / RECIPE
    if path is None and resume and stored.is_file():
        path = stored
    if path is None:
        dataset = load(source, data_dir=data_dir, download=download, console=console)
        resolved, comments = _choose(dataset, source, changes, device=device, console=console)
    else:
        resolved = load_recipe(path, overrides=changes)
        if download:
            dataset = load(resolved.dataset.name, data_dir=data_dir, download=True, console=console)
    folder = run_dir or Path("runs") / resolved.name
    done = run_training(
        resolved,
        run_dir=folder,
        data_dir=data_dir,
        resume=resume,
        device=device,
        console=console,
        comments=comments,
        dataset=dataset,
        limit_seconds=math.inf if limit_minutes is None else limit_minutes * 60,
        tensorboard=tensorboard,
    )
    if done.stopped_because:
        typer.echo(f"The run is over: {done.stopped_because}.")
        typer.echo(f"The run is in {folder}. Next: vae-lab evaluate {folder}")
    else:
        typer.echo(f"The run in {folder} is at step {done.step}. Go on with --resume.")


def _choose(
    dataset: "Dataset", source: str, changes: list[str], *, device: str, console: Console
) -> tuple["Recipe", dict[str, list[str]]]:
    """Choose a recipe and print why; returns it, and the reasons as comments on its tables."""
    from training.recipes.choose import choose

    chosen = choose(dataset, source=source, overrides=changes, device=find_device(device))
    comments = {table: [str(reason) for reason in why] for table, why in chosen.reasons.items()}
    console.print(f"A recipe for the {dataset.facts.count:,} training pictures of {source}:")
    for line in (line for lines in comments.values() for line in lines):
        console.print(f"- {line}", soft_wrap=True, markup=False, highlight=False)
    return chosen.recipe, comments


def find_recipe(source: str, *, data_dir: Path | None = None) -> Path | None:
    """A recipe file of that path, else the shipped recipe of that name; None for a data set.

    Raises:
        ConfigError: There is none of the three; it lists what is shipped and known.
    """
    path, shipped = Path(source), RECIPES / f"{source}.toml"
    if path.is_file() and path.suffix.lower() not in (".npz", ".npy"):
        return path
    if shipped.is_file():
        return shipped
    if source in DATASETS:
        return None
    try:
        find_path(source, resolve_data_dir(data_dir))
    except DatasetError as error:
        names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise ConfigError(
            f"What is trained is a recipe, a TOML file or the name of a shipped one ({names}); or "
            f"a data set, the name of a known one ({', '.join(DATASETS)}) or the path of a folder "
            f"of pictures, .npz or .npy; received {source!r}. Give one of these names or a path "
            "that exists."
        ) from error
    return None


@app.command()
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
) -> None:
    """Show runs side by side: bounds with errors, sizes, time, and where their recipes differ.

    Example: vae-lab compare-runs runs/digits runs/mnist
    """
    from training.evaluation.compare import compare_runs as compare

    wide_console().print(compare(runs))


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(help="A run's folder, or a bundle's.")],
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    subset: Subset = 1000,
    subset_samples: SubsetSamples = None,
) -> None:
    """Score the test set: ELBO, IWAE bounds, rate, distortion, with their errors.

    Example: vae-lab evaluate runs/digits
    """
    from training.evaluation.table import format_evaluation
    from training.evaluation.trained import load_trained_model

    console = Console()
    evaluation = load_trained_model(source, data_dir=data_dir).evaluate(
        settings=_settings(seed, elbo_samples, iwae_samples, subset, subset_samples),
        device=find_device(device),
        console=console,
    )
    console.print(format_evaluation(evaluation))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    repository: Annotated[Path, typer.Option(help="Folder of <model>/<version> folders.")] = Path(
        "models/pretrained"
    ),
    name: Annotated[str | None, typer.Option(help="The model's; else the recipe's.")] = None,
    version: Annotated[str, typer.Option(help="A number, or next: one more than there is.")] = (
        "next"
    ),
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    subset: Subset = 1000,
    subset_samples: SubsetSamples = None,
) -> None:
    """Write a run's best weights as a bundle that `vae serve` serves; evaluates it if need be.

    Example: vae-lab export runs/digits --repository models/pretrained
    """
    from training.evaluation.stored import find_evaluation
    from training.evaluation.table import format_evaluation
    from training.export.export import export_run

    console = Console()
    settings = _settings(seed, elbo_samples, iwae_samples, subset, subset_samples)
    path = export_run(
        run,
        repository=repository,
        name=name,
        version=_version(version),
        data_dir=data_dir,
        settings=settings,
        device=find_device(device),
        console=console,
    )
    evaluation = find_evaluation(run, settings=settings)
    if evaluation is not None:
        console.print(format_evaluation(evaluation))
    typer.echo(f"The bundle is {path}.")


def find_device(name: str) -> str:
    """The name itself, or for `auto` cuda where there is a GPU and cpu elsewhere."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def _version(version: str) -> int | None:
    if version == "next":
        return None
    if version.isascii() and version.isdigit() and int(version) > 0:
        return int(version)
    raise ConfigError(f"A version is a positive number or next; received {version!r}. Take next.")


def _settings(
    seed: int, elbo_samples: int, iwae_samples: int, subset: int, subset_samples: list[int] | None
) -> "EvaluationSettings":
    from training.evaluation.evaluate import EvaluationSettings

    return EvaluationSettings(
        seed=seed,
        elbo_num_samples=elbo_samples,
        iwae_num_samples=iwae_samples,
        subset_num_images=subset,
        subset_num_samples=tuple(sorted(set(subset_samples or (1000, 5000)))),
    )


@datasets_app.callback()
@no_type_check  # at run time typer passes another Context than the one it names
def datasets(context: typer.Context, data_dir: DataDir = None) -> None:
    """List the known data sets: shape, splits, licence, and whether they are at hand."""
    if context.invoked_subcommand is not None:
        return
    table = Table("name", "shape", "levels", "train/val./test", "licence", "at hand")
    for name, entry in DATASETS.items():
        table.add_row(
            name,
            "x".join(map(str, entry.image_shape)),
            str(entry.levels),
            "/".join(map(str, entry.counts)),
            entry.licence,
            "yes" if at_hand(name, data_dir=data_dir) else "no",
        )
    console = Console()
    console.print(table)
    console.print(f"Looked for in {resolve_data_dir(data_dir)}.")
    console.print("A folder of pictures, an .npz or an .npy is a data set too, by its path.")


@datasets_app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A data set's name, or the path of a folder, .npz or .npy.")
    ],
    data_dir: DataDir = None,
    output: Annotated[
        Path | None, typer.Option(help="The picture's file; <name>.png otherwise.")
    ] = None,
    download: Download = False,
) -> None:
    """Write a grid of training images, and print what is in each split.

    Example: vae-lab datasets show digits
    """
    from training.data import summary as gallery
    from training.data.datasets import load

    console = Console()
    dataset = load(name, data_dir=data_dir, download=download, console=console)
    path = output or Path(f"{Path(dataset.name).stem}.png")
    path.write_bytes(gallery.picture_of_dataset(dataset))
    lines = (
        f"{dataset.name}: {dataset.about}. Licence: {dataset.licence}.",
        gallery.native_forms(dataset),
        gallery.class_counts(dataset),
        gallery.shared_images(dataset),
        f"sha256 of the content: {dataset.sha256}",
        f"{min(64, len(dataset.train))} training images: {path}",
    )
    console.print(gallery.statistics(dataset))
    for line in filter(None, lines):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; this project's own errors are one line and the exit code 2.

    What a signal ended has the exit code 128 and the signal's number.
    """
    try:
        app(args=arguments)
    except Interrupted as error:
        typer.echo(f"vae-lab: {error}", err=True)
        sys.exit(error.exit_code)
    except VAEError as error:
        typer.echo(f"vae-lab: {error}", err=True)
        sys.exit(2)
