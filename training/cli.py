"""The command `vae-lab`: train, evaluate, export, datasets; it reads arguments and prints.

It computes nothing: each command calls one function of this package.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, no_type_check

import typer
from rich.console import Console
from rich.table import Table

from models.errors import ConfigError, VAEError
from training import plot_cli
from training.datasets import at_hand, resolve_data_dir
from training.known import DATASETS

if TYPE_CHECKING:
    from training.evaluate import EvaluationSettings

RECIPES = Path(__file__).parent / "recipes"

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
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one shipped here.")],
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
    download: Download = False,
) -> None:
    """Train the model that a recipe describes.

    Example: vae-lab train digits
    """
    from training.config import load_recipe
    from training.datasets import load
    from training.train import train as run_training

    changes = [*(overrides or []), *([f"training.precision={precision}"] if precision else [])]
    resolved = load_recipe(find_recipe(recipe), overrides=changes)
    if download:
        load(resolved.dataset.name, data_dir=data_dir, download=True)
    folder = run_dir or Path("runs") / resolved.name
    run_training(
        resolved,
        run_dir=folder,
        data_dir=data_dir,
        resume=resume,
        device=device,
    )
    typer.echo(f"The run is in {folder}. Next: vae-lab evaluate {folder}")


def find_recipe(recipe: str) -> Path:
    """A file of that path, else the shipped recipe of that name.

    Raises:
        ConfigError: Neither exists; it lists the shipped ones.
    """
    path, shipped = Path(recipe), RECIPES / f"{recipe}.toml"
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
    raise ConfigError(
        f"A recipe is a TOML file or the name of a shipped one ({names}); received {recipe!r}. "
        "Give the path of an existing file or one of these names."
    )


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
    from training.evaluate import format_evaluation
    from training.trained import evaluate_bundle, is_run, load_run

    score = load_run(source).evaluate if is_run(source) else partial(evaluate_bundle, source)
    console = Console()
    evaluation = score(
        settings=_settings(seed, elbo_samples, iwae_samples, subset, subset_samples),
        data_dir=data_dir,
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
    from training.evaluate import format_evaluation
    from training.export import export_run
    from training.trained import load_run

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
    evaluation = load_run(run).stored_evaluation(settings)
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
    from training.evaluate import EvaluationSettings

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
    from training import gallery
    from training.datasets import load

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
    """Run the command; this project's own errors are one line and the exit code 2."""
    try:
        app(args=arguments)
    except VAEError as error:
        typer.echo(f"vae-lab: {error}", err=True)
        sys.exit(2)
