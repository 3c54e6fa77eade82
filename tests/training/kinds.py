"""A tiny run on each kind of data set, and a process that kills it again and again.

    python -m tests.training.kinds FOLDER

trains each kind in FOLDER/KIND/run, in children that end themselves with SIGKILL at the moments of
`KILLS`, and then lets one train to the end. A new kind is a new entry of `KINDS`.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console

from training.data.datasets import load
from training.fit import step as hot
from training.fit import train as loop
from training.recipes.recipe import Recipe
from training.runs.provenance import installed_packages

NUM_IMAGES = 120
EPOCHS, BATCH = 20, 16
MLP = {"kind": "mlp", "hidden": [8]}
CONV = {"kind": "conv", "channels": [8], "blocks": [1], "dropout": 0.1}


def write_array(folder: Path, *shape: int, levels: int = 256, suffix: str = "npz") -> str:
    """The path of a file with random pictures."""
    images = np.random.default_rng(0).integers(0, levels, (NUM_IMAGES, *shape), dtype=np.uint8)
    path = folder / f"pictures.{suffix}"
    if not path.exists():
        np.save(path, images) if suffix == "npy" else np.savez(path, images=images)
    return str(path)


def write_folder(folder: Path) -> str:
    """The path of a folder of random pictures of several sizes in two classes."""
    random_pictures = np.random.default_rng(1)
    root = folder / "pictures"
    for number in range(NUM_IMAGES if not root.exists() else 0):
        path = root / ("even", "odd")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random_pictures.integers(0, 256, (8 + number % 3, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return str(root)


def make(data: str, image: dict, likelihood: dict, network: dict, **more: dict) -> Recipe:
    """A recipe of some 120 steps on 8x8 pictures."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "seed": 4,
            "dataset": {"name": data, **more.pop("dataset", {})},
            "image": {"channels": 1, "height": 8, "width": 8, **image},
            "vae": {
                "latent_shape": [2],
                "likelihood": likelihood,
                "encoder": network,
                "decoder": network,
                **more.pop("vae", {}),
            },
            "training": {
                "epochs": EPOCHS,
                "batch_size": BATCH,
                "kl_warmup_epochs": 2,
                "validate_every_epochs": 5,
                "checkpoint_seconds": 0.03,
                **more.pop("training", {}),
            },
            **more,
        }
    )


BERNOULLI = {"kind": "bernoulli"}
LOGISTIC = {"kind": "discretized_logistic", "num_mixtures": 1}
MOVED = {"flip": "horizontal", "probability": 0.5, "crop_pixels": 1}
KINDS: dict[str, Callable[[Path], Recipe]] = {
    "named grey set": lambda folder: make(
        "digits", {"levels": 17}, {**LOGISTIC, "levels": 17}, MLP, training={"batch_size": 200}
    ),
    "static binary": lambda folder: make(
        write_array(folder, 8, 8, levels=2),
        {"levels": 2, "binarization": "threshold"},
        BERNOULLI,
        MLP,
    ),
    "binarised anew at each step": lambda folder: make(
        write_array(folder, 8, 8, suffix="npy"),
        {"levels": 2, "binarization": "stochastic"},
        BERNOULLI,
        MLP,
    ),
    "colour array": lambda folder: make(
        write_array(folder, 8, 8, 3), {"channels": 3}, LOGISTIC, CONV, augmentation=MOVED
    ),
    "folder with few labels": lambda folder: make(
        write_folder(folder),
        {"channels": 3, "fit": "crop"},
        LOGISTIC,
        MLP,
        augmentation=MOVED,
        dataset={"labels_per_class": 5},
        vae={"num_labels": 2, "classifier": MLP},
        objective={"kind": "m2"},
        training={"keep": "label_accuracy"},
    ),
}


class Kill(NamedTuple):
    """Moment at which a process kills itself."""

    module: Any
    function: str
    """Function during whose call the process is killed."""
    call: int = 0
    """Finished calls of the function since the step."""


KILLS = (
    Kill(hot, "update_average"),  # in the middle of a step
    Kill(os, "fsync"),  # a file is written, and not yet in its place
    Kill(os, "fsync", 1),
    Kill(os, "replace"),  # before and between the renamings of a checkpoint
    Kill(os, "replace", 1),
    Kill(hot, "update_average"),
)


def train_in_child(recipe: Recipe, run_dir: Path, *, kill: Kill | None, step: int) -> int:
    """The id of a process that trains to the end, or to a moment after it began that step."""
    if child := os.fork():
        return child
    take_step, began = loop.take_step, False

    def noting(training: loop.Training, chosen: Any) -> None:
        nonlocal began
        began = began or training.done.step >= step
        take_step(training, chosen)

    loop.take_step = noting
    if kill is not None:
        original, calls = getattr(kill.module, kill.function), 0

        def killing(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += began
            if calls > kill.call:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(kill.module, kill.function, killing)
    with open(os.devnull, "w") as silent:
        loop.train(
            recipe,
            run_dir=run_dir,
            device="cpu",
            resume=True,
            tensorboard=False,
            console=Console(file=silent),
        )
    os._exit(0)


def train_and_kill(kind: str, folder: Path) -> int:
    """Kill a run at each moment, then train to the end; how many processes were killed."""
    folder.mkdir(parents=True)
    recipe, killed = KINDS[kind](folder), 0
    steps = sorted(random.Random(kind).sample(range(80), len(KILLS)))
    for kill, step in zip((*KILLS, None), (*steps, 0), strict=True):
        child = train_in_child(recipe, folder / "run", kill=kill, step=step)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"the last process of {kind} did not end well")
    return killed


def main(folder: str) -> None:
    """Train every kind; print how often each was killed, as JSON."""
    import torch
    import torch._dynamo

    torch.set_num_threads(1)  # a fork is safe only while torch has started no threads
    # Once, not in every child: the packages, the compiler that an optimizer brings, scikit-learn.
    installed_packages()
    load("digits")
    print(json.dumps({kind: train_and_kill(kind, Path(folder) / kind) for kind in KINDS}))


if __name__ == "__main__":
    main(*sys.argv[1:])
