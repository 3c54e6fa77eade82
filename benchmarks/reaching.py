"""Reaching a bound: seconds of training until static MNIST's test ELBO is -100 nats.

`vae-lab train` and pythae's trainer train the same network, an MLP 784-200-200-50 with tanh, from
torch's initial weights, by Adam at a constant rate of 1e-3, in batches of 100, without a warm-up of
rate or KL, in turns. Seconds are those of the steps: not the reading of the data, nor the scoring
of the test set after each epoch. All are scored alike, with one draw an image.

`vae-lab train` averages its weights, which pythae does not: once more without, so that the speed of
the steps can be told from the average's part. Its encoders take pixels in [-1, 1], centred by
`training.centre_inputs`; those of pythae take them as they are, in [0, 1], as its users have them,
and once more in [-1, 1].
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.timing import ratio, table
from benchmarks.training import start_pythae
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset, load
from training.fit.train import train
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe

BOUND = -100.0
BATCH = 100
_MOST_EPOCHS = 100


def run(*, quick: bool, peers_python: str, threads: int) -> Iterator[Table]:
    """Measure both in turns, from other seeds in each round."""
    torch.set_num_threads(threads)
    dataset = load("mnist-static")
    sides: dict[str, Callable[[int], tuple[float, int]]] = {
        "vae-lab train": lambda seed: _ours(dataset, seed),
        "vae-lab train, no average": lambda seed: _ours(dataset, seed, "training.ema_decay=0"),
        "pythae": lambda seed: _pythae(dataset, seed, peers_python, threads, lowest=0),
        "pythae, pixels in [-1, 1]": lambda seed: _pythae(
            dataset, seed, peers_python, threads, lowest=-1
        ),
    }
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in sides}
    for seed in range(1, 2 if quick else 4):
        for name, side in sides.items():
            found[name].append(side(seed))
    made = table(
        f"Reaching: a test ELBO of {BOUND:.0f} nats on static MNIST, batches of {BATCH}",
        "side",
        "seconds",
        "epochs",
        "seconds an epoch",
        "seconds over those of vae-lab train",
        caption=f"{len(found['vae-lab train'])} seeds; medians, quartiles in parentheses.",
    )
    base = np.array([seconds for seconds, _ in found["vae-lab train"]])
    for name, rounds in found.items():
        seconds, epochs = (np.array(values) for values in zip(*rounds, strict=True))
        times = (f"{np.median(one):.1f}" for one in (seconds, epochs, seconds / epochs))
        made.add_row(name, *times, ratio(seconds, base))
    yield made


def _recipe(seed: int, *changes: str) -> Recipe:
    return load_recipe(
        RECIPES / "static-vae.toml",
        overrides=[
            f"seed={seed}",
            f"training.batch_size={BATCH}",
            f"training.epochs={_MOST_EPOCHS}",
            "training.validate_every_epochs=1",
            "training.start_from_marginal=false",
            "training.centre_inputs=true",
            "schedule.kind=constant",
            "schedule.warmup=0",
            *changes,
        ],
    )


def _ours(dataset: Dataset, seed: int, *changes: str) -> tuple[float, int]:
    """Seconds and epochs until the validated weights reach the bound on the test set."""
    with tempfile.TemporaryDirectory() as folder:
        done = train(
            _recipe(seed, *changes),
            run_dir=Path(folder) / "run",
            dataset=replace(dataset, validation=dataset.test),
            console=Console(quiet=True),
            tensorboard=False,
            on_validation=lambda epoch, bound: "reached" if bound >= BOUND else "",
        )
    return _reached(done.best_bound_nats, done.seconds, done.best_epoch)


def _pythae(
    dataset: Dataset, seed: int, peers_python: str, threads: int, *, lowest: int
) -> tuple[float, int]:
    """Seconds and epochs until pythae's weights reach the bound on the test set."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        splits = [cast(ArraySplit, split).images for split in (dataset.train, dataset.test)]
        ask = start_pythae(
            stack,
            folder,
            splits,
            BATCH,
            python=peers_python,
            threads=threads,
            seed=seed,
            lowest=lowest,
        )
        if ask is None:
            raise SystemExit(
                f"Give --peers-python a Python that has pythae: {peers_python} has not."
            )
        seconds, bound, epochs = 0.0, -np.inf, 0
        while bound < BOUND and epochs < _MOST_EPOCHS:
            took, bound = ask()
            seconds, epochs = seconds + took, epochs + 1
    return _reached(bound, seconds, epochs)


def _reached(bound: float, seconds: float, epochs: int) -> tuple[float, int]:
    """Not a number of seconds where the bound was not reached."""
    return (seconds if bound >= BOUND else float("nan")), epochs
