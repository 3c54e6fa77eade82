"""The commands `vae-lab evaluate`, `compare`, `compare-runs` and `export`: scores of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from training.commands.options import (
    AIS_IMAGES,
    BDMC_IMAGES,
    SUBSET_IMAGES,
    Ais,
    AisImages,
    AisStart,
    AisSteps,
    Bdmc,
    BdmcImages,
    BundleVersion,
    ChosenElboSamples,
    ChosenIwaeSamples,
    Csv,
    DataDir,
    Device,
    ElboSamples,
    Images,
    IwaeSamples,
    PublishedExamples,
    ScoredImages,
    Seed,
    Subset,
    SubsetSamples,
    chosen_version,
)
from training.commands.report import renew_report
from training.commands.runs import say_unfinished
from training.commands.tables import say, table_of, wide_console, write_csv

if TYPE_CHECKING:
    from training.evaluation.effort import AskedEffort


def compare_runs(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
) -> None:
    """Compare runs side by side: bounds with errors, sizes, time, and differences of recipes.

    Example: vae-lab compare-runs runs/digits runs/mnist
    """
    from training.evaluation.compare import compare_runs as compare

    wide_console().print(compare(runs))


def compare(
    models: Annotated[list[Path], typer.Argument(help="Folders of runs or bundles: A B ...")],
    data_dir: DataDir = None,
    images: Images = 1000,
    elbo_samples: ElboSamples = 100,
    iwae_samples: IwaeSamples = 100,
    seed: Seed = 0,
    csv: Csv = None,
) -> None:
    """Compare models by paired differences of their bounds on the same images and seed.

    Each less the first: the mean over the images, with an interval of 95 %. Models that score
    different images, or one by probabilities and another by densities, are refused.

    Example: vae-lab compare runs/digits models/pretrained/digits/1
    """
    from training.evaluation.trained import load_trained_model
    from training.studies.bounds import compare_bounds, conclude

    if len(models) < 2:
        raise typer.BadParameter(f"{models[0]} is one model. Name two: vae-lab compare A B.")
    say_unfinished(*models)
    loaded = [load_trained_model(path, data_dir=data_dir, num_images=images) for path in models]
    rows = compare_bounds(loaded, elbo_samples=elbo_samples, iwae_samples=iwae_samples, seed=seed)
    console = wide_console()
    console.print(table_of(rows))
    for sentence in conclude(rows):
        say(sentence, console)
    if csv is not None:
        write_csv(csv, rows)
        say(f"The numbers are in {csv}.", console)


def evaluate(
    source: Annotated[Path, typer.Argument(help="Folder of a run or of a bundle.")],
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    images: ScoredImages = None,
    elbo_samples: ChosenElboSamples = None,
    iwae_samples: ChosenIwaeSamples = None,
    subset: Subset = None,
    subset_samples: SubsetSamples = None,
    ais: Ais = False,
    ais_images: AisImages = None,
    bdmc: Bdmc = False,
    bdmc_images: BdmcImages = None,
    ais_steps: AisSteps = None,
    ais_start: AisStart = None,
) -> None:
    """Score the test split: ELBO, IWAE bounds, rate, distortion, reconstructions, embeddings.

    It says first how long it will take. Interrupted, the same command goes on.

    Example: vae-lab evaluate runs/digits
    """
    from training.evaluation.effort import choose_settings
    from training.evaluation.quality_tables import format_quality
    from training.evaluation.table import format_evaluation
    from training.evaluation.trained import load_trained_model
    from training.runs.hardware import find_device

    console, device = Console(), find_device(device)
    say_unfinished(source)
    asked = _asked(seed, images, elbo_samples, iwae_samples, subset, subset_samples)
    annealed: dict[str, int | str | None] = {
        "ais_num_images": AIS_IMAGES if ais and ais_images is None else ais_images,
        "bdmc_num_images": BDMC_IMAGES if bdmc and bdmc_images is None else bdmc_images,
    }
    for flag, value in (("--ais-steps", ais_steps), ("--ais-start", ais_start)):
        if value is not None and not any(annealed.values()):
            raise typer.BadParameter(f"{flag} {value} needs --ais or --bdmc. Add --ais.")
    annealed |= {"ais_num_steps": ais_steps, "ais_start": ais_start}
    asked = asked.model_copy(update=annealed)
    model = load_trained_model(source, data_dir=data_dir, console=console)
    settings = choose_settings(model, asked, device=device, console=console)
    evaluation = model.evaluate(settings=settings, device=device, console=console)
    console.print(format_evaluation(evaluation), *format_quality(evaluation))
    renew_report(source)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    repository: Annotated[
        Path,
        typer.Option(
            "--repository", "--model-repository", help="Folder of <model>/<version> folders."
        ),
    ] = Path("models/pretrained"),
    name: Annotated[
        str | None, typer.Option(help="Name of the model; the recipe's otherwise.")
    ] = None,
    version: BundleVersion = "next",
    examples: PublishedExamples = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    images: ScoredImages = None,
    elbo_samples: ChosenElboSamples = None,
    iwae_samples: ChosenIwaeSamples = None,
    subset: Subset = None,
    subset_samples: SubsetSamples = None,
) -> None:
    """Export a run as a bundle that `vae serve` serves; evaluate it first if that is not done.

    Example: vae-lab export runs/digits --repository models/pretrained
    """
    from training.evaluation.quality_tables import format_quality
    from training.evaluation.stored import find_evaluation
    from training.evaluation.table import format_evaluation
    from training.export.export import export_run
    from training.runs.hardware import find_device

    console = Console()
    say_unfinished(run)
    path = export_run(
        run,
        repository=repository,
        name=name,
        version=chosen_version(version),
        data_dir=data_dir,
        settings=_asked(seed, images, elbo_samples, iwae_samples, subset, subset_samples),
        with_examples=examples,
        device=find_device(device),
        console=console,
    )
    evaluation = find_evaluation(run)
    if evaluation is not None:
        console.print(format_evaluation(evaluation), *format_quality(evaluation))
    renew_report(run)
    typer.echo(f"The bundle is {path}.")


def _asked(
    seed: int,
    images: int | None,
    elbo_samples: int | None,
    iwae_samples: int | None,
    subset: int | None,
    subset_samples: list[int] | None,
) -> "AskedEffort":
    """What is asked of an evaluation; a subset of large K is asked for by its size or its K."""
    from training.evaluation.effort import AskedEffort

    if subset is None and subset_samples:
        subset = SUBSET_IMAGES
    return AskedEffort(
        seed=seed,
        num_images=images,
        elbo_num_samples=elbo_samples,
        iwae_num_samples=iwae_samples,
        subset_num_images=subset,
        subset_num_samples=tuple(sorted(set(subset_samples))) if subset_samples else None,
    )
