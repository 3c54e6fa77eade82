"""docs/families.md holds: commands parse, recipes resolve, figures and tables are there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import click
import pytest
import typer.main

from tests.training.conftest import run_dir  # noqa: F401, a fixture
from training.cli import app
from training.evaluate import EvaluationSettings
from training.objective_config import ClassicalKind
from training.plot_cli import write_csv
from training.studies import BoundsRow
from training.trained import load_run

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
FIGURES = re.findall(r"!\[([^\]]+)\]\((figures/[a-z-]+\.png)\)", PAGE)
MAX_FIGURE_BYTES = 60 * 1024


def load_maker() -> ModuleType:
    """docs/make_families.py as a module."""
    path = ROOT / "docs" / "make_families.py"
    spec = importlib.util.spec_from_file_location("make_families", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


maker = load_maker()
COMMANDS: list[list[str]] = maker.commands(PAGE)
TRAINED = [maker.recipe_of(words) for words in COMMANDS if words[:2] == ["vae-lab", "train"]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_page_parses(words: list[str]) -> None:
    assert words[0] == "vae-lab"
    command, rest = typer.main.get_command(app), words[1:]
    context = click.Context(command)
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context(words[1], rest)


def test_every_plotted_or_tabled_run_is_trained_by_a_command_of_the_page() -> None:
    names = {recipe.name for recipe in TRAINED}
    assert len(names) == len(TRAINED)
    plotted = {
        word.removeprefix("runs/") for words in COMMANDS for word in words if "runs/" in word
    }
    tabled = {
        name
        for _, kind, text, _ in maker.TABLE.findall(PAGE)
        if kind == "runs"
        for name in text.split()
    }
    assert {name for name in plotted if "." not in name} | tabled <= names
    assert names <= tabled


def test_the_page_states_seed_and_epochs_of_its_runs() -> None:
    iterated = [
        recipe for recipe in TRAINED if recipe.objective.kind not in get_args(ClassicalKind)
    ]
    assert {recipe.seed for recipe in TRAINED} == {1}
    assert {recipe.training.epochs for recipe in iterated} == {60}
    assert "seed 1, 60 epochs" in PAGE


@pytest.mark.parametrize(("words", "path"), FIGURES)
def test_every_figure_is_there_small_and_named_by_the_command_that_made_it(
    words: str, path: str
) -> None:
    file = ROOT / "docs" / path
    assert file.stat().st_size <= MAX_FIGURE_BYTES
    made = [w for w in COMMANDS if w[1] == "plot" and f"docs/{path}" in w]
    assert len(made) == 1
    assert words


def test_no_figure_is_left_over() -> None:
    shown = {path for _, path in FIGURES}
    assert {f"figures/{file.name}" for file in (ROOT / "docs/figures").iterdir()} == shown


def test_every_table_is_filled_with_a_row_per_run() -> None:
    tables = re.findall(r"<!-- runs: ([^>]+) -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert len(tables) >= 6
    for names, table in tables:
        rows = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)
        assert rows == names.split()


def test_tables_are_made_of_evaluations_of_the_very_recipe(run_dir: Path) -> None:  # noqa: F811
    run = load_run(run_dir)
    settings = EvaluationSettings(elbo_num_samples=2, iwae_num_samples=100, subset_num_images=0)
    evaluation = run.evaluate(settings=settings)
    lines = maker.results([("tiny", run.recipe)], run_dir.parent)
    assert lines[0].startswith("| run | ELBO | IWAE, K = 100 | rate | active units |")
    elbo, iwae = evaluation.estimates
    assert f"| {elbo.mean_nats:.2f} ± {elbo.standard_error_nats:.2f} |" in lines[2]
    assert f"| {iwae.mean_nats:.2f} ± {iwae.standard_error_nats:.2f} |" in lines[2]
    assert f"| {evaluation.active_units} of 2 |" in lines[2]
    other = run.recipe.model_copy(update={"seed": 6})
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
