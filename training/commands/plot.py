"""The commands `vae-lab plot ...`: each loads models, runs one study, prints and draws its numbers.

A plot is a function from models and its own options to rows and a figure; `PLOTS` is the table of
them, and `command` gives each the options that all share.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console

from models.files import check_place
from training.commands.options import (
    AisSteps,
    Csv,
    DataDir,
    ElboSamples,
    Images,
    IwaeSamples,
    Output,
    Seed,
)
from training.commands.runs import say_unfinished
from training.commands.tables import table_of, wide_console, write_csv
from training.progress_bar import ProgressBar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from training.evaluation.trained import TrainedModel

app = typer.Typer(
    help="Draw figures of trained models (folders of runs or bundles), and print their numbers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


AIS_STEPS = 100
"""Steps of annealed chains, as in `evaluate --ais`."""


class Drawn(NamedTuple):
    """The figure of a plot, and its numbers."""

    rows: Sequence[Any]
    """Rows of the printed table, each a dataclass."""
    figure: "Figure"
    csv_rows: Sequence[Any] | None = None
    """Rows of the CSV file, where these are not those of the table."""


def bounds(
    models: "list[TrainedModel]",
    *,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    seed: Seed = 0,
) -> Drawn:
    """Compare the ELBO, and the IWAE bound or exact log p(x), of models on the same images.

    The table has the mean of paired differences to the first model, with its 95 % interval.

    Example: vae-lab plot bounds runs/digits models/pretrained/digits/1
    """
    from training.studies import bounds as study
    from training.studies import plots

    rows = study.compare_bounds(
        models, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed
    )
    return Drawn(rows, plots.bounds(rows, title=_title(models)))


def rate_distortion(models: "list[TrainedModel]", *, elbo_samples: ElboSamples = 100) -> Drawn:
    """Plot the rate against the distortion of runs, as over beta, with lines of equal ELBO.

    Example: vae-lab plot rate-distortion runs/digits runs/digits-beta
    """
    from training.studies import plots
    from training.studies import rate_distortion as study

    rows = study.rate_distortion(models, num_samples=elbo_samples)
    return Drawn(rows, plots.rate_distortion(rows, title=_title(models)))


def latents(models: "list[TrainedModel]") -> Drawn:
    """Plot the KL of each latent dimension or group, and the activity of each dimension, sorted.

    Example: vae-lab plot latents models/pretrained/digits/1
    """
    from training.studies import latents as study
    from training.studies import plots

    rows = study.latent_use(models[0])
    return Drawn(rows, plots.latents(rows, title=models[0].describe()))


def latent_map(models: "list[TrainedModel]") -> Drawn:
    """Plot the posterior means of test images in two dimensions, coloured by label.

    The dimensions are the two latent ones, or the first two principal components of the active
    ones.

    Example: vae-lab plot latent-map models/pretrained/digits/1
    """
    from training.studies import latent_map as study
    from training.studies import plots

    found = study.latent_map(models[0])
    figure = plots.latent_map(
        found,
        class_names=models[0].dataset.class_names,
        title=f"{models[0].describe()}\n{found.method}",
    )
    return Drawn(study.centres(found), figure, csv_rows=found.rows)


def traversals(
    models: "list[TrainedModel]",
    *,
    image: Annotated[
        int, typer.Option(min=0, help="Position of the test image whose mean is the centre.")
    ] = 0,
    origin: Annotated[bool, typer.Option("--origin", help="Take z = 0 as the centre.")] = False,
    label: Annotated[
        int | None,
        typer.Option(min=0, help="Label for a model with labels; the most probable otherwise."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Largest number of dimensions.")] = 10,
    steps: Annotated[int, typer.Option(min=2, help="Pictures in a row.")] = 9,
) -> Drawn:
    """Draw pictures along each latent dimension, the most active first.

    From -3 to 3 standard deviations of the prior around an image's posterior mean, or around z = 0.

    Example: vae-lab plot traversals models/pretrained/digits/1 --image 3
    """
    from training.studies import plots
    from training.studies import traversals as study

    found = study.traversals(
        models[0],
        image=None if origin else image,
        label=label,
        num_rows=rows,
        num_steps=steps,
    )
    figure = plots.traversals(found, spec=models[0].spec, title=models[0].describe())
    return Drawn(found.rows, figure)


def gradient_variance(
    models: "list[TrainedModel]",
    *,
    images: Annotated[int, typer.Option(min=1, help="Images in the differentiated batch.")] = 16,
    samples: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Draws per image; may be repeated. [default: 1, 4, 16]"),
    ] = None,
    draws: Annotated[int, typer.Option(min=20, help="Gradients of each estimator.")] = 100,
    seed: Seed = 0,
) -> Drawn:
    """Plot the variance and signal-to-noise ratio of the encoder's gradient, by estimator.

    Of the ELBO: reparameterised, and score function with and without a baseline. Of the IWAE bound:
    plain, and doubly reparameterised (dreg). It takes half a minute for the digits on one core, and
    some minutes for MNIST.

    Example: vae-lab plot gradient-variance models/pretrained/digits/1
    """
    from training.studies import gradients, plots

    model = models[0]
    rows = gradients.gradient_variance(
        model,
        num_images=images,
        num_samples=sorted(set(samples or (1, 4, 16))),
        draws=draws,
        seed=seed,
    )
    title = (
        f"{model.name}: {model.dataset.name}, test split, a batch of n = "
        f"{min(images, len(model.x))}, {rows[0].draws} gradients each"
    )
    return Drawn(rows, plots.gradient_variance(rows, title=title))


def iwae_gap(
    models: "list[TrainedModel]",
    *,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    seed: Seed = 0,
) -> Drawn:
    """Plot the bounds of runs trained by the ELBO and by IWAE bounds, over the K of training.

    Example: vae-lab plot iwae-gap runs/digits runs/digits-iwae
    """
    from training.studies import iwae_gap as study
    from training.studies import plots

    rows = study.iwae_gap(models, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
    return Drawn(rows, plots.iwae_gap(rows, title=_title(models)))


def label_accuracy(models: "list[TrainedModel]") -> Drawn:
    """Plot the accuracy of runs with labels over the number of labels known in training.

    Beside each stands logistic regression on the pixels of the same labelled images.

    Example: vae-lab plot label-accuracy runs/digits-m2-1 runs/digits-m2-10
    """
    from training.studies import accuracy as study
    from training.studies import plots

    rows = study.label_accuracy(models)
    return Drawn(rows, plots.label_accuracy(rows, title=_title(models)))


def estimates(
    models: "list[TrainedModel]",
    *,
    samples: Annotated[int, typer.Option(min=100, help="Largest number of draws, K.")] = 10_000,
    ais_steps: AisSteps = None,
    seed: Seed = 0,
) -> Drawn:
    """Draw every estimate of log p(x) of a few images as draws grow, with both bounds.

    By draws from the prior, from the encoder's q(z|x) and from a proposal fitted to the image; and
    by annealed importance sampling. Solid: the estimate with its standard error. Dashed: the lower
    bound of 95 %. Shaded: the interval of the expected bound by a tenth of the draws. Models with
    labels are scored by log p(x|y).

    Example: vae-lab plot estimates models/pretrained/digits/1
    """
    from training.studies import estimates as study
    from training.studies import plots

    rows = study.estimates(
        models[0], num_samples=samples, ais_steps=ais_steps or AIS_STEPS, seed=seed
    )
    return Drawn(rows, plots.estimates(rows, title=models[0].describe()))


def _title(models: "Sequence[TrainedModel]") -> str:
    """The models' names, all of a few or the first and the last of many, and the data."""
    names = [model.name for model in models]
    few = ", ".join(names) if len(names) <= 4 else f"{names[0]} ... {names[-1]}, {len(names)} runs"
    return f"{few}\n{models[0].describe_images()}"


class Plot(NamedTuple):
    """A plot, and the arguments that its command takes."""

    draw: Callable[..., Drawn]
    source: str
    """Name and help of the argument: a key of `_SOURCES`."""
    images: int | None = 1000
    """Default of `--images`; None where all test images are loaded."""


_SOURCES: dict[str, Any] = {
    "source": Annotated[Path, typer.Argument(help="Folder of a run or of a bundle.")],
    "sources": Annotated[list[Path], typer.Argument(help="Folders of runs or bundles.")],
    "runs": Annotated[list[Path], typer.Argument(help="Folders of runs.")],
}

PLOTS: dict[str, Plot] = {
    "bounds": Plot(bounds, "sources"),
    "rate-distortion": Plot(rate_distortion, "runs"),
    "latents": Plot(latents, "source"),
    "latent-map": Plot(latent_map, "source"),
    "traversals": Plot(traversals, "source", images=None),
    "gradient-variance": Plot(gradient_variance, "source", images=None),
    "iwae-gap": Plot(iwae_gap, "runs"),
    "label-accuracy": Plot(label_accuracy, "runs", images=0),
    "estimates": Plot(estimates, "source", images=4),
}


def command(name: str, plot: Plot) -> Callable[..., None]:
    """The command of a plot: load the models, draw, print the table, write figure and CSV."""

    def run(**given: Any) -> None:
        named = given.pop(plot.source)
        paths = named if isinstance(named, list) else [named]
        output, csv, data_dir = (given.pop(key) for key in ("output", "csv", "data_dir"))
        output = output or Path(f"{name}.png")
        check_place(output, flag="--output")
        num_images = 0 if plot.images is None else given.pop("images")
        models = _load(paths, data_dir, num_images)
        with ProgressBar(console=Console(), transient=True) as bar:
            bar.add_task(name, total=None)
            drawn = plot.draw(models, **given)
        _show(drawn, output, csv)

    shared = [
        _parameter(plot.source, _SOURCES[plot.source], inspect.Parameter.empty),
        *(
            _parameter(*one, None)
            for one in (("output", Output), ("csv", Csv), ("data_dir", DataDir))
        ),
    ]
    if plot.images is not None:
        shared.append(_parameter("images", Images, plot.images))
    _, *own = inspect.signature(plot.draw).parameters.values()
    run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {}
    run.__doc__ = plot.draw.__doc__
    return run


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _load(paths: Sequence[Path], data_dir: Path | None, num_images: int) -> "list[TrainedModel]":
    from training.evaluation.trained import load_trained_model

    say_unfinished(*paths)
    return [load_trained_model(path, data_dir=data_dir, num_images=num_images) for path in paths]


def _show(drawn: Drawn, path: Path, csv: Path | None) -> None:
    """Print the table, and write the figure and the CSV file."""
    from training.studies import plots

    console = wide_console()
    console.print(table_of(drawn.rows))
    plots.save(drawn.figure, path)
    written = [f"The figure is {path}."]
    if csv is not None:
        write_csv(csv, drawn.rows if drawn.csv_rows is None else drawn.csv_rows)
        written.append(f"The numbers are in {csv}.")
    console.print(*written, soft_wrap=True, markup=False, highlight=False)


for _name, _plot in PLOTS.items():
    app.command(_name)(command(_name, _plot))
