"""Training: images a second of `vae-lab train` beside a bare loop, a usual DataLoader and pythae.

All train the same network on the same binary pictures of 28 x 28 with batches of the same size,
in turns, in float32. The bare loop holds float pictures, takes torch's Adam and does nothing else:
no log, no average of the weights, no look at the gradient, no checkpoint. `vae-lab train` does all
of that, and its rate is the one of its own log. Where the device multiplies bfloat16 itself, it
trains the convolutional network once more in bf16-mixed, as its recipe says. pythae's trainer runs
in a process of its own, with a Python that has it. Not measured: reading a data set, validation,
several devices.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import interleave, ratio, table
from models.vae.model import VAE
from models.vae.networks import Dense
from models.vae.products import affine
from training.data.array_split import ArraySplit
from training.data.datasets import Dataset as Pictures
from training.fit.train import train
from training.recipes.choose import fast_precision
from training.recipes.file import RECIPES, load_recipe
from training.recipes.recipe import Recipe
from training.runs.folder import read_log

COUNT = {"mlp": 20_000, "conv": 2_000}
"""Pictures of an epoch."""
SIZES = (100, 1000)
OURS = "vae-lab train"
_SHARE_WHITE = 0.13
"""Of MNIST's pixels."""


def run(*, quick: bool, peers_python: str, threads: int) -> Iterator[Table]:
    """Measure each network at each batch size."""
    torch.set_num_threads(threads)
    rounds = 2 if quick else 7
    for name in ("mlp", "conv"):
        for size in SIZES:
            yield _rates(name, size, rounds=rounds, peers_python=peers_python, threads=threads)


def _rates(name: str, size: int, *, rounds: int, peers_python: str, threads: int) -> Table:
    bits = _pictures(COUNT[name])
    recipe = _recipe(name, size)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides: dict[str, Callable[[], float]] = {
            OURS: _ours(recipe, bits, folder / "float32"),
            "bare loop": _bare(recipe, bits, size),
            "bare loop again": _bare(recipe, bits, size),
            "DataLoader": _with_dataloader(recipe, bits, size),
        }
        if name == "conv" and fast_precision(_device().type)[0] == "bf16-mixed":
            faster = _recipe(name, size, precision="bf16-mixed")
            sides[f"{OURS}, bf16-mixed"] = _ours(faster, bits, folder / "bf16")
        if name == "mlp":
            peer = _pythae(stack, folder, bits, size, peers_python=peers_python, threads=threads)
            sides |= {} if peer is None else {"pythae": peer}
        rates = _alternate(sides, rounds)
    return _as_table(name, size, rates, recipe)


def _alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """Images a second of each side in each round, in turns; a first round does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    calls = {name: (lambda name=name: found[name].append(sides[name]())) for name in sides}
    interleave(calls, seconds=0.0, min_rounds=rounds + 1, max_rounds=rounds + 1)
    return {name: np.array(values[1:]) for name, values in found.items()}


def _as_table(name: str, size: int, rates: dict[str, np.ndarray], recipe: Recipe) -> Table:
    flops = _flops_an_image(recipe, size)
    reached = float(np.median(rates[OURS])) * flops / _matrix_rate()
    made = table(
        f"Training: {name}, batches of {size}",
        "side",
        "images/s",
        "vae-lab train over it",
        caption=f"{len(rates['bare loop'])} rounds; medians, quartiles in parentheses. "
        f"{flops / 1e6:.1f} MFLOP an image and step: vae-lab train has {reached:.0%} of the rate "
        "of a product of matrices of 1024 x 1024.",
    )
    for side, values in rates.items():
        made.add_row(side, f"{np.median(values):,.0f}", ratio(rates[OURS], values))
    return made


def _pictures(count: int) -> np.ndarray:
    """Binary pictures, (count, 28, 28), 0 and 255."""
    random = np.random.default_rng(0).random((count, 28, 28))
    return (random < _SHARE_WHITE) * np.uint8(255)


def _recipe(name: str, size: int, *, precision: str = "32-true") -> Recipe:
    file = {"mlp": "static-vae.toml", "conv": "mnist-elbo.toml"}[name]
    steps = COUNT[name] // size
    return load_recipe(
        RECIPES / file,
        overrides=[
            "dataset.name=mnist-static",
            f"training.batch_size={size}",
            f"training.precision={precision}",
            "training.epochs=2",
            "training.validate_every_epochs=1",
            "training.start_from_marginal=false",
            "augmentation={}",
            f"schedule.warmup={1 / max(steps, 2)}",
        ],
    )


def _ours(recipe: Recipe, bits: np.ndarray, folder: Path) -> Callable[[], float]:
    few = ArraySplit(bits[:20], None, levels=256)
    pictures = Pictures("mnist-static", ArraySplit(bits, None, levels=256), few, few, "")
    done = 0

    def one() -> float:
        nonlocal done
        done += 1
        run_dir = folder / f"run-{done}"
        console = Console(quiet=True)
        train(recipe, run_dir=run_dir, dataset=pictures, console=console, tensorboard=False)
        rate: float = read_log(run_dir)[-1]["images_per_second"]  # of the second epoch
        return rate

    return one


class _Plain(nn.Module):
    """The networks of a recipe as anybody would write them: logits, and log-variances."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        vae = VAE(recipe.vae)
        self.encoder, self.decoder = vae.encoder, vae.decoder
        dense: list[Any] = [layer for layer in self.modules() if isinstance(layer, Dense)]
        for layer in dense:
            layer.__class__ = nn.Linear  # torch's own product

    def forward(self, x: Tensor) -> Tensor:
        """Minus the ELBO, in nats per image."""
        loc, log_variance = self.encoder(x).unbind(1)
        z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)
        logits = self.decoder(z)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        rate = -0.5 * (1 + log_variance - loc.square() - log_variance.exp())
        loss: Tensor = (distortion.flatten(1).sum(-1) + rate.flatten(1).sum(-1)).mean()
        return loss


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _stepper(recipe: Recipe) -> Callable[[Tensor], None]:
    model = _Plain(recipe).to(_device())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(x: Tensor) -> None:
        loss = model(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _bare(recipe: Recipe, bits: np.ndarray, size: int) -> Callable[[], float]:
    step = _stepper(recipe)
    x = torch.from_numpy(bits).unsqueeze(1).float().div(255).to(_device())

    def epoch() -> None:
        order = torch.randperm(len(x), device=x.device)
        for first in range(0, len(x) - size + 1, size):
            step(x[order[first : first + size]])

    return lambda: _rate(epoch, len(x))


class _Files(Dataset[Tensor]):
    """Pictures as Pillow has them, made tensors one by one, as torchvision's ToTensor does."""

    def __init__(self, bits: np.ndarray) -> None:
        self.pictures = [Image.fromarray(picture) for picture in bits]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self.pictures[index])).unsqueeze(0).float().div(255)


def _with_dataloader(recipe: Recipe, bits: np.ndarray, size: int) -> Callable[[], float]:
    step, files = _stepper(recipe), _Files(bits)
    loader = DataLoader(files, batch_size=size, shuffle=True, drop_last=True)

    def epoch() -> None:
        for x in loader:
            step(x.to(_device()))

    return lambda: _rate(epoch, len(files))


def _rate(epoch: Callable[[], None], count: int) -> float:
    """Images a second of an epoch, once the device has done it."""
    (seconds,) = interleave({"epoch": lambda: _done(epoch)}, seconds=0.0, min_rounds=1).values()
    return count / float(seconds[0])


def _done(epoch: Callable[[], object]) -> None:
    epoch()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _pythae(
    stack: ExitStack, folder: Path, bits: np.ndarray, size: int, *, peers_python: str, threads: int
) -> Callable[[], float] | None:
    """Images a second of pythae's trainer; None where that Python has no pythae."""
    ask = start_pythae(stack, folder, [bits // 255], size, python=peers_python, threads=threads)
    if ask is None:
        print(f"{peers_python} has no pythae: it is left out.", file=sys.stderr)
        return None
    return lambda: len(bits) / ask()[0]


def start_pythae(
    stack: ExitStack,
    folder: Path,
    splits: Sequence[np.ndarray],
    size: int,
    *,
    python: str,
    threads: int,
    seed: int = 1,
    lowest: int = 0,
) -> Callable[[], tuple[float, float]] | None:
    """A process that trains pythae's model, one epoch each time that it is asked.

    Args:
        stack: Ends the process.
        folder: Folder for the pictures.
        splits: Binary pictures to train on, and perhaps others to score after each epoch,
            (count, 28, 28).
        size: Size of a batch.
        python: Python that has pythae.
        threads: Threads of one operator.
        seed: Seed of weights, order and noise.
        lowest: What the encoder takes black pixels for, 0 or -1.

    Returns:
        Trains an epoch, and gives its seconds and the others' ELBO in nats (not a number without
        others); None where that Python has no pythae.
    """
    files = [folder / f"pictures-{i}.npy" for i in range(len(splits))]
    for file, bits in zip(files, splits, strict=True):
        np.save(file, bits.astype(np.float32)[:, None])
    script = Path(__file__).parent / "peers" / "with_pythae.py"
    process: Any = stack.enter_context(
        subprocess.Popen(
            [python, *map(str, (script, size, threads, seed, lowest, *files))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(process.stdin.close)
    if process.stdout.readline().strip() != "ready":
        return None

    def ask() -> tuple[float, float]:
        print("epoch", file=process.stdin, flush=True)
        seconds, bound = process.stdout.readline().split()
        return float(seconds), float(bound)

    return ask


def _flops_an_image(recipe: Recipe, size: int) -> float:
    """Floating-point operations of matrix products and convolutions, forward and backward."""
    model = _Plain(recipe)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(size, *recipe.vae.image_shape)).backward()
    return float(counter.get_total_flops()) / size


def _matrix_rate() -> float:
    """Floating-point operations a second of a large product of matrices, the best of ten.

    By the faster of the libraries that torch has.
    """
    side = 1024
    left, right = torch.ones(side, side, device=_device()), torch.ones(side, side, device=_device())
    product = {"product": lambda: _done(lambda: affine(left, right, None))}
    took = interleave(product, seconds=0.0, min_rounds=10)
    return 2 * side**3 / float(took["product"].min())
