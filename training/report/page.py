"""A run's report: one HTML page that shows how it was trained, on what, and how good it is.

    runs/<name>/report.html

The page holds its pictures, charts and style, and asks nothing of a server. `page.html.j2` has the
sentences; the values that it quotes are gathered here from the run's folder. It computes no score.
"""

import csv
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from rich.table import Table

from models.bundle.schema import Evaluation
from models.errors import ConfigError
from models.vae.model import VAE
from training.data.left_out import LEFT_OUT
from training.evaluation.listing import ListedRun, describe_run
from training.evaluation.quality_tables import format_quality
from training.evaluation.reconstruction import advise
from training.evaluation.stored import find_evaluation
from training.evaluation.table import format_evaluation, format_with_error
from training.recipes.file import load_recipe
from training.recipes.recipe import Recipe
from training.recipes.text import read_text
from training.report.album import read_latents, read_picture, read_strips
from training.report.charts import draw_bars
from training.report.quantities import Chart, draw_log
from training.runs.folder import RECIPE, is_run, read_log, read_state, replace
from training.runs.provenance import read_starts

REPORT = "report.html"
TEMPLATE = Path(__file__).with_name("page.html.j2")


def write_report(run_dir: Path) -> Path:
    """Write the page of a run, finished or not, into its folder.

    Returns:
        The page's file.

    Raises:
        ConfigError: There is no run, or one of its files is damaged.
        RunError: The disk is full or the folder cannot be written to.
    """
    path = run_dir / REPORT
    replace(path, make_page(run_dir).encode())
    return path


def make_page(run_dir: Path) -> str:
    """The page of a run as HTML.

    Raises:
        ConfigError: There is no run, or one of its files is damaged.
    """
    if not is_run(run_dir):
        raise ConfigError(
            f"There is no run at {run_dir}: it has no {RECIPE}. Name a folder that vae-lab train "
            "made, such as runs/digits; vae-lab runs lists them.",
            parameter="run",
            received=str(run_dir),
        )
    recipe, run = load_recipe(run_dir / RECIPE), describe_run(run_dir)
    if run.state == "damaged":
        raise ConfigError(f"A file of the run {run_dir} is damaged: {run.why}")
    evaluation, log, starts = find_evaluation(run_dir), read_log(run_dir), read_starts(run_dir)
    return _template().render(
        run=run,
        bound=format_with_error(run.best_validation_bound, run.standard_error, sign="±"),
        time=None if run.seconds is None else format_duration(float(run.seconds)),
        recipe=recipe,
        recipe_toml=read_text(run_dir / RECIPE).strip(),
        num_parameters=sum(parameter.numel() for parameter in VAE(recipe.vae).parameters()),
        state=read_state(run_dir),
        log=log,
        charts=draw_log(log, recipe, bound=str(run.bound), unit=str(run.unit)),
        pictures=_pictures(run_dir),
        kl=_draw_kl(evaluation, read_latents(run_dir)),
        evaluation=evaluation,
        scores=None if evaluation is None else format_evaluation(evaluation),
        quality=[] if evaluation is None else format_quality(evaluation),
        left_out=_why_left_out(run_dir),
        starts=starts,
        origin=_list_origin(recipe, run, starts),
        remarks=_remarks(run, log) + _advice(evaluation, recipe),
    )


@cache
def _template() -> jinja2.Template:
    """The template, compiled once in a process."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True
    )
    environment.filters["table"] = _table
    environment.filters["svg"] = Markup  # drawn here, of this project's own words
    environment.filters["png"] = lambda data: f"data:image/png;base64,{b64encode(data).decode()}"
    environment.filters["thousands"] = lambda value: f"{value:,}"
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _pictures(run_dir: Path) -> dict[str, Any]:
    names = ("samples", "reconstructions", "originals")
    sheets = {name: read_picture(run_dir, f"{name}.png") for name in names}
    return {**sheets, "strips": read_strips(run_dir)}


def _draw_kl(evaluation: Evaluation | None, latents: dict[str, Any]) -> Chart | None:
    """KL by part, the largest first: of the test images, or else of the last validation."""
    if evaluation is not None:
        dimensions, groups = evaluation.kl_per_dimension_nats, evaluation.kl_per_group_nats
        active: int | None = evaluation.active_units
        count = evaluation.num_images
        source = f"Means over the {count:,} test images, by the best weights."
    else:
        dimensions = latents.get("kl_per_dimension_nats", ())
        groups = latents.get("kl_per_group_nats", ())
        active, count = latents.get("active_units"), latents.get("num_images", 0)
        source = f"Means over {count:,} validation images, by the averaged weights of epoch "
        source += f"{latents.get('epoch')}."
    parts = [float(kl) for kl in sorted(dimensions, reverse=True) or groups]
    if not parts:
        return None
    kind = "latent dimension, the largest first" if dimensions else "group of latents"
    total = f"The {len(parts)} bars add up to {sum(parts):.2f} nats, the rate. "
    units = ""
    if dimensions and active is not None:
        units = (
            f"{active} of {len(parts)} dimensions are active: the mean of q(z|x) varies over the "
            "images with a variance above 0.01. "
        )
    svg = draw_bars(parts, x_label=kind, y_label="KL, nats per image", about=f"{total}{units}")
    return Chart(
        "KL by latent dimension" if dimensions else "KL by group", svg, total + units + source
    )


def format_duration(seconds: float) -> str:
    """Hours, minutes and seconds, without those that are 0 at the front."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return " ".join(f"{count} {unit}" for count, unit in parts)


def _list_origin(
    recipe: Recipe, run: ListedRun, starts: Sequence[dict[str, Any]]
) -> list[tuple[str, str]]:
    """What made the weights, and what was made of them, by name."""
    rows: list[tuple[str, Any]] = []
    if starts:
        last = starts[-1]
        of = f", the last of {len(starts)} starts" if len(starts) > 1 else ""
        rows += [
            ("Command", last["command"]),
            ("Started", f"{last['started_at']}{of}"),
            ("Device", last["hardware"]),
            ("Threads", last["threads"]),
            ("Platform", last["platform"]),
            ("Python", last["python_version"]),
            ("torch", last["packages"]["torch"]),
            ("vae-serve", last["code_version"]),
            ("git commit", last["git_commit"] or "not a checkout"),
            ("Code, sha256", last["code_sha256"]),
            ("Data, sha256", last["dataset_sha256"]),
        ]
    rows += [("Seed", recipe.seed), ("Precision", recipe.training.precision)]
    count = _why_left_out(Path(run.path)).total()
    words = f"{count:,}, each listed with its reason in {LEFT_OUT}" if count else "none"
    rows += [("Files left out", words), *(("Exported as", bundle) for bundle in run.exported)]
    return [(name, str(value)) for name, value in rows]


def _why_left_out(run_dir: Path) -> Counter[str]:
    """How many files of the data's folder are not in the data set, by the reason."""
    path = run_dir / LEFT_OUT
    if not path.is_file():
        return Counter()
    with path.open(encoding="utf-8", newline="") as file:
        return Counter(row["reason"] for row in csv.DictReader(file))


def _remarks(run: ListedRun, log: list[dict[str, Any]]) -> list[str]:
    """What this run's own numbers say, each with what to try."""
    said = []
    if log and run.best_epoch == log[-1]["epoch"]:
        said.append(
            "The last validation is the best one. If the curve still rises at its end, a longer "
            "run may reach more."
        )
    elif run.best_epoch:
        said.append(
            f"The best validation is that of epoch {run.best_epoch}, and the weights of that epoch "
            "are kept. A training bound that goes on rising while the validation's falls is "
            "overfitting: more data, augmentation, dropout or a smaller model may help."
        )
    skipped = log[-1].get("skipped_steps", 0) if log else 0
    if skipped:
        said.append(
            f"{skipped:,} steps were skipped, since their gradient was not finite. A lower "
            "optimizer.learning_rate may help."
        )
    return said


def _advice(evaluation: Evaluation | None, recipe: Recipe) -> list[str]:
    said = None if evaluation is None else advise(evaluation, recipe.model_dump(mode="json"))
    return [said] if said else []


def _table(table: Table) -> Markup:
    """A table of the terminal as one of HTML."""
    heads = [Markup("<th scope=col>{}</th>").format(column.header) for column in table.columns]
    rows = []
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        cells = [Markup("<td>{}</td>").format(cell) for cell in others]
        rows.append(Markup("<tr><th scope=row>{}</th>{}</tr>").format(first, Markup().join(cells)))
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        Markup().join(heads), Markup().join(rows)
    )
