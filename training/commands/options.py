"""Options of the commands of `vae-lab` that are long, or that several commands share."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from models.errors import ConfigError, closest
from models.files import check_place
from models.noise import MAX_SEED
from models.scores.kinds import AnnealingStart
from training.recipes.asked import Purpose, known_purpose


def can_be_written(flag: str, *, is_folder: bool = False) -> Callable[[Any], Any]:
    """A callback that refuses a path that cannot be written before hours are spent on it."""

    def check(path: Any) -> Any:
        if path is not None:
            check_place(path, flag=flag, is_folder=is_folder)
        return path

    return check


def within(flag: str, low: int, high: int | None = None) -> Callable[[Any], Any]:
    """A callback that refuses numbers of the option `flag` below `low` or above `high`."""

    def check(value: Any) -> Any:
        for number in value if isinstance(value, list) else [value]:
            if number is None:
                continue
            bound = low if number < low else high if high is not None and number > high else None
            if bound is not None:
                side = "below" if number < low else "above"
                raise typer.BadParameter(f"{number} is {side} {bound}. Use {flag} {bound}.")
        return value

    return check


def known_precision(value: str | None) -> str | None:
    """Refuse a number format that recipes do not have."""
    from training.recipes.loop import Precision  # help needs no recipe

    allowed = get_args(Precision)
    if value is not None and value not in allowed:
        meant = next((name for name in allowed if name.startswith(value)), allowed[0])
        raise typer.BadParameter(
            f"{value} is not one of {', '.join(allowed)}. Use --precision {meant}."
        )
    return value


def of_known_purpose(value: str | None) -> str | None:
    """Refuse what no model is chosen for."""
    return None if value is None else known_purpose(value)


def of_known_start(value: str | None) -> str | None:
    """Refuse what no annealed chain starts from."""
    allowed = get_args(AnnealingStart)
    if value is not None and value not in allowed:
        meant = closest(value, allowed) or allowed[-1]
        raise typer.BadParameter(
            f"{value} is not one of {', '.join(allowed)}. Use --ais-start {meant}."
        )
    return value


def positive_minutes(value: float | None) -> float | None:
    """Refuse what is no time."""
    if value is not None and not 0 < value < inf:
        raise typer.BadParameter(f"{value:g} is no time for a run. Use --minutes 8.")
    return value


def chosen_version(version: str) -> int | None:
    """The version that `--version` names; None for the next free one.

    Raises:
        ConfigError: It is no version.
    """
    if version == "next":
        return None
    if version.isascii() and version.isdigit() and int(version) > 0:
        return int(version)
    raise ConfigError(
        f"--version {version} is not allowed. Allowed: a positive number, or next. "
        "Take --version next.",
        parameter="version",
        received=version,
        suggestion="next",
    )


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one entry of the recipe, as in --set seed=2."),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        callback=can_be_written("--run-dir", is_folder=True),
        help="Folder of the run; runs/<name> otherwise.",
    ),
]
ResumeRun = Annotated[
    bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")
]
RecipePrecision = Annotated[
    str | None,
    typer.Option(
        callback=known_precision,
        help="Number format: 32-true, bf16-mixed or 64-true; else the recipe's.",
    ),
]
LabelsPerClass = Annotated[
    int | None,
    typer.Option(
        callback=within("--labels-per-class", 0),
        help="Training labels kept of each class, for the objective m2; 0 for all.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        callback=positive_minutes,
        help="Plan a new run, by timing its first steps, that ends its schedule within so many "
        "minutes; its epochs are the recipe's at most.",
    ),
]
LimitMinutes = Annotated[
    float | None,
    typer.Option(
        callback=within("--limit-minutes", 0),
        help="Write a checkpoint and stop after so many minutes, wherever the schedule is.",
    ),
]
Tensorboard = Annotated[
    bool, typer.Option(help="Write TensorBoard curves and pictures into the folder of the run.")
]
Variations = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="An entry of the recipe and its range or its values: KEY=LOW..HIGH, "
        "KEY=LOW..HIGH:log or KEY=A,B,C. May be repeated.",
    ),
]
NumTrials = Annotated[
    int,
    typer.Option(
        callback=within("--trials", 1),
        help="Trials of the whole sweep, those of former starts included.",
    ),
]
SweepDir = Annotated[
    Path | None,
    typer.Option(
        callback=can_be_written("--sweep-dir", is_folder=True),
        help="Folder of the sweep; runs/<name>-sweep otherwise.",
    ),
]
SweepSeed = Annotated[
    int | None,
    typer.Option(
        callback=within("--seed", 0, MAX_SEED),
        help="Seed of the draws and of the trials' seeds; else the recipe's.",
    ),
]
Jobs = Annotated[
    int,
    typer.Option(callback=within("--jobs", 1), help="Processes, which divide the CPU threads."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the data sets; VAE_DATA_DIR or ./data otherwise.", file_okay=False
    ),
]
NextVersionRepository = Annotated[
    Path | None,
    typer.Option(
        "--repository",
        "--model-repository",
        help="Where to write the new version; the bundle's own repository otherwise.",
        callback=can_be_written("--repository", is_folder=True),
    ),
]
BundleVersion = Annotated[
    str, typer.Option("--version", help="Version: a number, or next for the highest plus one.")
]
PublishedExamples = Annotated[
    bool | None,
    typer.Option(
        "--examples/--no-examples",
        help="Publish up to 64 held-out pictures with the bundle; otherwise only those whose "
        "licence is known to allow it.",
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto: a GPU if there is one.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX|CSV",
        help="What no split may part: a regular expression whose first group, in a picture's path, "
        "names its person, patient or burst; or a .csv of two columns, path and group.",
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download missing data files from their publisher.")
]
NoLabels = Annotated[
    bool,
    typer.Option(
        "--no-labels",
        help="Choose a model without labels, whatever classes the data set has; the same as "
        "--set vae.num_labels=0.",
    ),
]
Purposes = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="|".join(get_args(Purpose)),
        callback=of_known_purpose,
        help="What a model that is chosen for a data set is to be good at. [default: density]",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        callback=within("--size", 1, 4096),
        help="Longer side, in pixels, of the pictures of a model that is chosen for a data set; "
        "the other side follows from their shape. Chosen by the pictures and the time otherwise.",
    ),
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        metavar="[URI]",
        help="Log to MLflow too: at the URI of its server, or of a store such as "
        "sqlite:///mlflow.db. Without a URI: where MLflow logs by itself, at MLFLOW_TRACKING_URI "
        "or in this folder.",
    ),
]
Seed = Annotated[
    int, typer.Option(callback=within("--seed", 0, MAX_SEED), help="Seed of the random numbers.")
]
SUBSET_IMAGES = 1000
"""Images of a subset whose K is asked for, but not its size."""
ScoredImages = Annotated[
    int | None,
    typer.Option(
        "--images",
        callback=within("--images", 0),
        help="Number of random test images that are scored, the same every time; 0 for all. "
        "[default: all of a known data set; of own images as many as the errors and a quarter of "
        "the training's time ask for]",
    ),
]
ElboSamples = Annotated[
    int, typer.Option(callback=within("--elbo-samples", 1), help="Draws per image for the ELBO.")
]
IwaeSamples = Annotated[
    int,
    typer.Option(
        callback=within("--iwae-samples", 1), help="Draws per image (K) for the IWAE bound."
    ),
]
ChosenElboSamples = Annotated[
    int | None,
    typer.Option(
        callback=within("--elbo-samples", 1),
        help="Draws per image for the ELBO. [default: 100 for a known data set; 10 to 100 for own "
        "images]",
    ),
]
ChosenIwaeSamples = Annotated[
    int | None,
    typer.Option(
        callback=within("--iwae-samples", 1),
        help="Draws per image (K) for the IWAE bound. [default: 100 for a known data set; 10 to "
        "100 for own images]",
    ),
]
Subset = Annotated[
    int | None,
    typer.Option(
        callback=within("--subset", 0),
        help="Random images that also get bounds of large K; 0 for none. [default: 1000 for a "
        "known data set; none for own images]",
    ),
]
SubsetSamples = Annotated[
    list[int] | None,
    typer.Option(
        callback=within("--subset-samples", 1),
        help="K of a bound of the subset; may be repeated. [default: 1000, 5000]",
    ),
]
AIS_IMAGES, BDMC_IMAGES = 100, 20
"""Images that are annealed where their number is not given."""
Ais = Annotated[
    bool,
    typer.Option(
        "--ais",
        help="Score some test images by annealed importance sampling too, beside refined estimates "
        "of the same ones.",
    ),
]
AisImages = Annotated[
    int | None,
    typer.Option(
        callback=within("--ais-images", 0),
        help=f"How many; 0 for none. [default: {AIS_IMAGES} with --ais]",
    ),
]
Bdmc = Annotated[
    bool,
    typer.Option(
        "--bdmc",
        help="Bound log p(x) of images of the model's own from both sides, by annealing.",
    ),
]
BdmcImages = Annotated[
    int | None,
    typer.Option(
        callback=within("--bdmc-images", 0),
        help=f"How many; 0 for none. [default: {BDMC_IMAGES} with --bdmc]",
    ),
]
AisSteps = Annotated[
    int | None,
    typer.Option(
        callback=within("--ais-steps", 2),
        help="Steps of each annealed chain. [default: 100]",
    ),
]
AisStart = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(get_args(AnnealingStart)),
        callback=of_known_start,
        help="Where chains start: the prior, q(z|x), or normals fitted to each image. "
        "[default: refined]",
    ),
]
Images = Annotated[
    int,
    typer.Option(
        callback=within("--images", 0),
        help="Number of random test images, the same every time; 0 for all.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv",
        help="File that the numbers are written to, as CSV.",
        callback=can_be_written("--csv"),
    ),
]

Output = Annotated[
    Path | None,
    typer.Option(
        help="PNG file of the picture; named after the command otherwise.",
        callback=can_be_written("--output"),
    ),
]
DatasetPicture = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="PNG file of the picture; runs/<name>/dataset.png otherwise.",
        callback=can_be_written("--output"),
    ),
]
