"""Small sweeps for tests: a tiny recipe on digits, swept without the command."""

from pathlib import Path
from typing import Any

from rich.console import Console

from training.data.datasets import load
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.studies.sweep import TrialSettings, run_trials
from training.studies.sweep_outcomes import Outcome
from training.studies.sweep_space import Sweep, parse_space
from training.studies.sweep_trials import Trials

SMALL = [
    "vae.latent_shape=[2]",
    'vae.encoder={kind="mlp",hidden=[4]}',
    'vae.decoder={kind="mlp",hidden=[4]}',
    'vae.likelihood={kind="discretized_logistic",levels=17}',
    "training={epochs=3,batch_size=600}",
]
RATES = "optimizer.learning_rate=1e-3..1e-1:log"
SILENT = Console(quiet=True)


def tiny(*overrides: str) -> Recipe:
    """A recipe of three epochs of one step each."""
    return load_recipe(RECIPES / "digits.toml", overrides=[*SMALL, *overrides])


def open_trials(
    folder: Path,
    *specs: str,
    recipe: Recipe | None = None,
    prunes: bool = True,
    dataset_sha256: str | None = None,
) -> Trials:
    """The trials of a sweep in a folder, which vary the learning rate by default."""
    recipe = recipe or tiny()
    return Trials(
        Sweep(folder, recipe, parse_space(specs or (RATES,), recipe)),
        dataset_sha256=dataset_sha256 or load("digits").sha256,
        prunes=prunes,
        console=SILENT,
    )


def run(trials: Trials, num_trials: int, **options: Any) -> list[Outcome]:
    """Train a sweep in this process; every trial's outcome."""
    run_trials(
        trials,
        TrialSettings(num_trials, device="cpu", tensorboard=False),
        dataset=load("digits"),
        console=SILENT,
        **options,
    )
    return trials.outcomes()


def results(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """What a sweep found, without clocks and places."""
    return [
        (one.trial, one.state, one.bound_nats, one.epoch, one.seed, tuple(one.values.items()))
        for one in outcomes
    ]
