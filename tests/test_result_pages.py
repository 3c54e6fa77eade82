"""Result pages: commands parse, recipes resolve, figures and tables are there."""

import re
from pathlib import Path
from typing import get_args

import click
import pytest
import typer.main

from tests.makers import DOCS, load_maker
from tests.training.conftest import RECIPE, run_dir  # noqa: F401, a fixture
from training.commands.lab import make_app
from training.commands.plot import write_csv
from training.evaluation.evaluate import EvaluationSettings
from training.evaluation.trained import load_trained_model
from training.recipes.objective import ClassicalKind
from training.recipes.recipe import Recipe
from training.studies.bounds import BoundsRow

PAGES = {
    name: (DOCS / name).read_text(encoding="utf-8") for name in ("families.md", "benchmarks.md")
}
FIGURES = [
    (name, *found)
    for name, page in PAGES.items()
    for found in re.findall(r"!\[([^\]]+)\]\((figures/[a-z-]+\.png)\)", page)
]
MAX_FIGURE_BYTES = 60 * 1024

maker = load_maker("make_tables")
COMMANDS: dict[str, list[list[str]]] = {name: maker.commands(page) for name, page in PAGES.items()}
each_page = pytest.mark.parametrize("name", PAGES)


def trained(name: str) -> list[Recipe]:
    """What the page's commands train."""
    return [maker.recipe_of(words) for words in COMMANDS[name] if words[1] == "train"]


@pytest.mark.parametrize(
    "words", [words for page in COMMANDS.values() for words in page], ids=" ".join
)
def test_every_command_of_a_page_parses(words: list[str]) -> None:
    assert words[0] == "vae-lab"
    command, rest = typer.main.get_command(make_app()), words[1:]
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(words[1], rest)


@each_page
def test_every_plotted_or_tabled_run_is_trained_by_a_command_of_the_page(name: str) -> None:
    names = [recipe.name for recipe in trained(name)]
    assert len(set(names)) == len(names)
    words = {word for words in COMMANDS[name] for word in words if word.startswith("runs/")}
    plotted = {word.removeprefix("runs/") for word in words if "." not in word}
    tabled = {
        entry.partition("=")[0]
        for _, kind, text, _ in maker.TABLE.findall(PAGES[name])
        if kind == "runs"
        for entry in text.split()
    }
    assert plotted <= set(names)
    assert tabled == set(names)


@each_page
def test_a_page_states_the_seed_of_its_runs(name: str) -> None:
    for recipe in trained(name):
        assert recipe.name.endswith(f"-seed-{recipe.seed}") or recipe.seed == 1
    assert "seed 1" in PAGES[name]


@pytest.mark.parametrize(("name", "words", "path"), FIGURES)
def test_every_figure_is_there_small_and_named_by_the_command_that_made_it(
    name: str, words: str, path: str
) -> None:
    assert (DOCS / path).stat().st_size <= MAX_FIGURE_BYTES
    made = [w for w in COMMANDS[name] if w[1] == "plot" and f"docs/{path}" in w]
    assert len(made) == 1
    assert words


def test_no_figure_is_left_over() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    shown = set(re.findall(r"figures/[a-z/-]+\.(?:png|svg|webp)", pages))
    files = [path for path in (DOCS / "figures").rglob("*") if path.is_file()]
    assert {path.relative_to(DOCS).as_posix() for path in files} == shown


@each_page
def test_every_table_is_filled_with_a_row_per_run_and_its_epochs(name: str) -> None:
    recipes = {recipe.name: recipe for recipe in trained(name)}
    tables = re.findall(r"<!-- runs: ([^>]+) -->\n(.*?)<!-- end -->", PAGES[name], re.DOTALL)
    assert len(tables) >= 2
    for entries, table in tables:
        heading, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
        found = [dict(zip(heading, row, strict=True)) for row in rows]
        names = [row["run"].strip("`") for row in found]
        assert names == [entry.partition("=")[0] for entry in entries.split()]
        for row, recipe in zip(found, map(recipes.__getitem__, names), strict=True):
            if recipe.objective.kind not in get_args(ClassicalKind):
                assert row["epochs"] == str(recipe.training.epochs)


def test_tables_are_made_of_evaluations_of_the_very_recipe(run_dir: Path) -> None:  # noqa: F811
    model = load_trained_model(run_dir)
    settings = EvaluationSettings(elbo_num_samples=2, iwae_num_samples=100, subset_num_images=0)
    evaluation = model.evaluate(settings=settings)
    lines = maker.results([("tiny", RECIPE)], run_dir.parent, published={"tiny": "-1.23"})
    assert lines[0].startswith("| run | ELBO | IWAE, K = 100 | published | rate | active units |")
    elbo, iwae = evaluation.estimates
    assert f"| {elbo.mean_nats:.2f} ± {elbo.standard_error_nats:.2f} |" in lines[2]
    assert f"| {iwae.mean_nats:.2f} ± {iwae.standard_error_nats:.2f} |" in lines[2]
    assert f"| -1.23 | {evaluation.rate_nats:.2f} | {evaluation.active_units} of 2 |" in lines[2]
    other = RECIPE.model_copy(update={"seed": 6})
    with pytest.raises(SystemExit, match="was not trained by the command on the page"):
        maker.results([("tiny", other)], run_dir.parent)


def test_differences_are_those_that_plot_bounds_wrote(tmp_path: Path) -> None:
    zeros = [0.0] * 6
    rows = [
        BoundsRow("first", 9, -85.0, 0.7, "IWAE, K = 100", -83.0, 0.6, *zeros),
        BoundsRow("b", 9, -88.0, 0.8, "IWAE, K = 100", -84.0, 0.6, -3.0, -3.5, -2.5, 1.0, 0.8, 1.2),
    ]
    write_csv(tmp_path / "bounds.csv", rows)
    assert maker.differences(tmp_path / "bounds.csv") == [
        "| less `first`, on the same images | ELBO | IWAE, K = 100 |",
        "|---|---|---|",
        "| `b` | -3.00 (-3.50 to -2.50) | +1.00 (+0.80 to +1.20) |",
    ]
