"""Estimates: time of log p(x) by many draws, over that of the decoder alone and of pythae's.

An estimate encodes, draws, decodes, takes log-probabilities, and sums the weights up with their
diagnosis and bounds. The floor decodes as many rows in chunks of the same size. pythae's `get_nll`,
of the same network, runs in a process of its own. Ours keeps freed memory, as `vae serve` and
`vae-lab` do. All take turns. Weights are random: they change
no time.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks.timing import clock, interleave, ratio, table
from models.config import BernoulliConfig, MLPConfig
from models.estimators.importance import estimate_log_px
from models.estimators.steps import CHUNK_ROWS, chunks
from models.memory import keep_freed_memory
from models.vae.model import VAE
from models.vae_config import VAEConfig

ESTIMATES = ((1, 5000), (20, 5000))
"""Images and K."""


@torch.no_grad()
def run(*, seconds: float, peers_python: str, threads: int) -> Iterator[Table]:
    """Measure for about `seconds`."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    made = table(
        "Estimates: log p(x) by an MLP 784-200-200-50, milliseconds an image",
        *("images, K", "estimate_log_px", "decoder", "decoder again", "pythae's get_nll"),
        *("over the decoder", "pythae over it"),
    )
    vae = random_vae()
    with ExitStack() as stack:
        nll = _start_nll(stack, peers_python)
        for images, samples in ESTIMATES:
            took = _estimate_in_turns(vae, images, samples, nll, seconds / len(ESTIMATES))
            made.caption = f"{len(took[0])} rounds; medians, quartiles in parentheses."
            ours, decoder, _, peer = took
            middles = (f"{1e3 * np.median(values) / images:.1f}" for values in took)
            ratios = ratio(ours, decoder), ratio(peer, ours)
            made.add_row(f"{images}, {samples:,}", *middles, *ratios)
    yield made


def random_vae() -> VAE:
    """The networks of pythae's side, with torch's initial weights."""
    mlp = MLPConfig(hidden=(200, 200), activation="tanh")
    config = VAEConfig(
        image_shape=(1, 28, 28),
        latent_shape=(50,),
        likelihood=BernoulliConfig(),
        encoder=mlp,
        decoder=mlp,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(config).freeze()


def _estimate_in_turns(
    vae: VAE, images: int, samples: int, nll: Callable[[int, int], float], seconds: float
) -> list[np.ndarray]:
    """Seconds of an estimate, of its decoding alone, of that again, and of pythae's."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, *vae.image_shape, generator=generator).round()
    z = torch.randn(samples, images, *vae.latent_shape, generator=generator)
    parts = z.split(chunks(samples, images, CHUNK_ROWS)[0])
    peer: list[float] = []

    def decode() -> None:
        for part in parts:
            vae.decoder(part)

    def estimate() -> None:
        estimate_log_px(vae, x, num_samples=samples, seed=0)

    estimate()
    took = interleave(
        {
            "ours": estimate,
            "decoder": decode,
            "again": decode,
            "pythae": lambda: peer.append(nll(images, samples)),
        },
        seconds=seconds,
        clock=clock(torch.get_num_threads()),
    )
    return [took["ours"], took["decoder"], took["again"], np.array(peer)]


def _start_nll(stack: ExitStack, python: str) -> Callable[[int, int], float]:
    """Seconds that pythae's `get_nll` takes in a process of its own; NaN where there is no pythae.

    Args:
        stack: Ends the process.
        python: Python that has pythae.
    """
    module = "benchmarks.peers.pythae_nll"
    process: Any = stack.enter_context(
        subprocess.Popen(
            [python, "-m", module, str(torch.get_num_threads())],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(process.stdin.close)
    if process.stdout.readline().strip() != "ready":
        print(f"{python} has no pythae: it is left out.", file=sys.stderr)
        return lambda images, samples: float("nan")

    def nll(images: int, samples: int) -> float:
        print(images, samples, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return nll
