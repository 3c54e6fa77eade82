"""A tiny run on each kind of data set, and a process that kills one again and again.

    python -m tests.training.kinds KIND FOLDER RUN_DIR KILLS SEED

trains in children that it ends with SIGKILL at random moments, as often as asked, and then lets
one train to the end. A new kind is a new entry of `KINDS`.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from training.fit import train as loop
from training.recipes.recipe import Recipe

NUM_IMAGES = 120
EPOCHS, BATCH = 20, 16
NUM_STEPS = 100
"""At least so many in each run."""
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
            "dataset": {"name": data},
            "image": {"channels": 1, "height": 8, "width": 8, **image},
            "vae": {
                "latent_shape": [2],
                "likelihood": likelihood,
                "encoder": network,
                "decoder": network,
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
    "folder": lambda folder: make(
        write_folder(folder), {"channels": 3, "fit": "crop"}, LOGISTIC, MLP, augmentation=MOVED
    ),
}


def train_in_child(recipe: Recipe, run_dir: Path, *, kill_at: int, after_seconds: float) -> int:
    """The id of a process that trains to the end, or to a moment after it began that step."""
    if child := os.fork():
        return child
    take_step, timers = loop.take_step, []

    def take_timed_step(training: loop.Training, chosen: Any) -> None:
        if not timers and training.done.step >= kill_at:
            timers.append(Timer(after_seconds, os.kill, (os.getpid(), signal.SIGKILL)))
            timers[0].start()
        take_step(training, chosen)

    loop.take_step = take_timed_step
    with open(os.devnull, "w") as silent:
        loop.train(recipe, run_dir=run_dir, device="cpu", resume=True, console=Console(file=silent))
    os._exit(0)


def main(kind: str, folder: str, run: str, kills: str, seed: str) -> None:
    """Kill that often, then train to the end; prints how often it killed."""
    import torch.utils.tensorboard  # once, not in every child

    torch.set_num_threads(1)  # a fork is safe only while torch has started no threads
    moments, recipe, killed = random.Random(seed), KINDS[kind](Path(folder)), 0
    steps = sorted(moments.choices(range(NUM_STEPS * 2 // 3), k=int(kills)))
    for step in [*steps, sys.maxsize]:
        delay = moments.uniform(0, 0.01)
        child = train_in_child(recipe, Path(run), kill_at=step, after_seconds=delay)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    print(killed if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else "failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
