"""Writes the tables of a page of results from runs, and its figures by the commands it names.

    python docs/make_tables.py docs/families.md            the tables
    python docs/make_tables.py docs/families.md --figures  every `vae-lab plot` first

Start it where the page's training and evaluation commands were run. A table stands between two
comments: `<!-- runs: NAME ... -->` (what `vae-lab evaluate` left in runs/NAME; NAME=VALUE puts a
published value beside it) or `<!-- differences: FILE -->` (what `vae-lab plot bounds --csv FILE`
wrote), and `<!-- end -->`. A run that is not of the command on the page is refused.
"""

import csv
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import get_args

from models.bundle.schema import Estimate, Evaluation
from training.evaluation.proportion import format_interval
from training.evaluation.stored import find_evaluation
from training.evaluation.table import ABSENT, describe_estimator, format_with_error
from training.recipes.file import load_recipe
from training.recipes.find import find_recipe
from training.recipes.objective import ClassicalKind
from training.recipes.recipe import Recipe
from training.runs.folder import read_run

BASH = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(<!-- (runs|differences): ([^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """Every command of the page's bash blocks, as words, with continued lines joined."""
    lines = "".join(BASH.findall(page)).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def recipe_of(words: list[str]) -> Recipe:
    """What `vae-lab train RECIPE --set ... --labels-per-class ...` trains."""
    overrides = [word for flag, word in pairwise(words) if flag == "--set"]
    labels = [word for flag, word in pairwise(words) if flag == "--labels-per-class"]
    overrides += [f"dataset.labels_per_class={word}" for word in labels]
    return load_recipe(find_recipe(words[2]), overrides=overrides)


def fill(page: str, runs: Path) -> str:
    """The page with every table made anew."""
    trained = [words for words in commands(page) if words[:2] == ["vae-lab", "train"]]
    recipes = {recipe.name: recipe for recipe in map(recipe_of, trained)}

    def table(found: re.Match[str]) -> str:
        head, kind, text, end = found.groups()
        if kind == "differences":
            lines = differences(runs.parent / text.strip())
        else:
            entries = [word.partition("=")[::2] for word in text.split()]
            named = [(name, recipes[name]) for name, _ in entries]
            lines = results(named, runs, published=dict(entries))
        return head + "\n".join(lines) + "\n" + end

    return TABLE.sub(table, page)


def results(
    named: list[tuple[str, Recipe]], runs: Path, *, published: dict[str, str] | None = None
) -> list[str]:
    """A row per run: bounds in nats with standard errors over the images, and what else it has."""
    rows = [result(runs / name, recipe) for name, recipe in named]
    for row, (name, _) in zip(rows, named, strict=True):
        if value := (published or {}).get(name):
            row["published"] = value
    known = {key for row in rows for key in row} - {"run"}
    columns = sorted(known, key=lambda key: (COLUMNS.index(key.partition(",")[0]), len(key), key))
    return [
        "| run | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(
            f"| `{row['run']}` | " + " | ".join(row.get(c, ABSENT) for c in columns) + " |"
            for row in rows
        ),
    ]


COLUMNS = (
    "ELBO",
    "IWAE",
    "log p(x)",
    "published",
    "rate",
    "active units",
    "labels right",
    "squared error",
    "epochs",
    "training",
)
"""In this order, by what stands before a comma."""


def result(run_dir: Path, recipe: Recipe) -> dict[str, str]:
    """The cells of a run's row, by column."""
    run = read_run(run_dir)
    if run.recipe != recipe:
        sys.exit(f"{run_dir} was not trained by the command on the page.")
    evaluation = find_evaluation(run_dir)
    if evaluation is None:
        sys.exit(f"{run_dir} is not evaluated. Run: vae-lab evaluate {run_dir}")
    row = {"run": run_dir.name, "training, s": f"{run.state['seconds']:.0f}"}
    for estimate in evaluation.estimates:
        row[heading(estimate, evaluation.num_images)] = format_with_error(
            estimate.mean_nats, estimate.standard_error_nats, sign="±"
        )
    return row | others(evaluation, recipe)


def heading(estimate: Estimate, num_images: int) -> str:
    """The column of an estimate; it counts the images where they are not the whole split."""
    if estimate.estimator == "elbo":
        return "ELBO"
    some = "" if estimate.n == num_images else f", {estimate.n:,} images"
    return describe_estimator(estimate) + some


def others(evaluation: Evaluation, recipe: Recipe) -> dict[str, str]:
    """What is no bound."""
    row = {}
    if recipe.objective.kind not in get_args(ClassicalKind):
        row["epochs"] = str(recipe.training.epochs)
    if evaluation.rate_nats is not None:
        row["rate"] = f"{evaluation.rate_nats:.2f}"
    if recipe.vae.encoder is not None:
        row["active units"] = f"{evaluation.active_units} of {recipe.vae.latent_shape[0]}"
    if (labels := evaluation.classification) is not None:
        row["labels right, %"] = f"{100 * labels.accuracy:.1f} ({format_interval(labels, '.1f')})"
    if evaluation.squared_error is not None:
        row["squared error"] = f"{evaluation.squared_error:.3f}"
    return row


def differences(path: Path) -> list[str]:
    """Means of paired differences to the first model, with their intervals of 95 %, in nats."""
    with path.open(newline="", encoding="utf-8") as file:
        first, *rows = csv.DictReader(file)
    lines = [
        f"| less `{first['model']}`, on the same images | ELBO | {first['estimator']} |",
        "|---|---|---|",
    ]
    for row in rows:
        cells = []
        for name in ("elbo", "log_px"):
            mean, low, high = (
                float(row[f"{name}_difference_{part}nats"]) for part in ("", "low_", "high_")
            )
            cells.append(f"{mean:+.2f} ({low:+.2f} to {high:+.2f})")
        lines.append(f"| `{row['model']}` | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Draw if asked to, then write the tables."""
    path = Path(sys.argv[1])
    page = path.read_text(encoding="utf-8")
    if "--figures" in sys.argv[2:]:
        for words in commands(page):
            if words[:2] == ["vae-lab", "plot"]:
                subprocess.run([sys.executable, "-m", "training", *words[1:]], check=True)
    path.write_text(fill(page, Path("runs")), encoding="utf-8")


if __name__ == "__main__":
    main()
