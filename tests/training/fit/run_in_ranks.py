"""Runs of several processes, started by torchrun on this file.

    torchrun --standalone --nproc-per-node 2 tests/training/fit/run_in_ranks.py FOLDER NAME ...

trains each of `CASES` that is named in FOLDER/NAME; `train` alone does the same in one process.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from training.errors import Interrupted
from training.fit import train as loop
from training.fit.ranks import ALONE, Ranks, join
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.runs.folder import read_lines

MLP = '{kind="mlp",hidden=[12]}'
SHORT = [
    *(f"vae.encoder={MLP}", f"vae.decoder={MLP}"),
    *("training.batch_size=100", "training.epochs=2", "training.validate_every_epochs=1"),
]
FREE = 'objective={kind="elbo",free_bits_nats=0.5}'
EPOCHS = 6
LONG = f"training.epochs={EPOCHS}"
M2 = [f"vae.classifier={MLP}", "dataset.labels_per_class=5"]
CASES: dict[str, tuple[str, list[str]]] = {
    "free bits": ("digits", [FREE, 'augmentation={flip="horizontal"}']),
    "capacity": ("digits-capacity", []),
    "iwae": ("digits-dreg", []),
    "m2": ("digits-m2", M2),
    "m2, balanced": ("digits-m2", [*M2, "objective.balanced=true"]),
    "terminated": ("digits", [LONG]),
    "killed": ("digits", [LONG]),
}
SIGNALS = {"terminated": signal.SIGTERM, "killed": signal.SIGKILL}
SILENT = Console(quiet=True)


def recipe_of(case: str) -> Recipe:
    """A recipe without dropout, whose draws differ by process."""
    name, changes = CASES[case]
    return load_recipe(RECIPES / f"{name}.toml", overrides=[*SHORT, *changes])


def train(case: str, folder: Path, ranks: Ranks = ALONE, **options: Any) -> None:
    """Train a case, or go on with it."""
    loop.train(
        recipe_of(case),
        run_dir=folder / case,
        device="cpu",
        resume=True,
        console=SILENT,
        tensorboard=False,
        ranks=ranks,
        **options,
    )


def main(folder: Path, *cases: str) -> None:
    """Train the cases one after another, as one of the processes."""
    take_step = loop.take_step

    def signalled(training: loop.Training, chosen: Any) -> None:
        """The second process gets the case's signal in step 30 of the first start."""
        take_step(training, chosen)
        done = folder / f"{case} had its signal"
        if case in SIGNALS and ranks.rank == 1 and training.done.step == 30 and not done.exists():
            done.touch()
            os.kill(os.getpid(), SIGNALS[case])

    loop.take_step = signalled
    with join("cpu") as (ranks, _):
        assert ranks.count == 2
        for case in cases:
            with suppress(Interrupted):
                train(case, folder, ranks)
            if case == "terminated":
                assert read_lines(folder / case / "log.jsonl")[-1]["epoch"] < EPOCHS
                train(case, folder, ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
