"""Scoring: time of a pass over that of its floor, the decoder alone over as many rows.

A pass of `log_px_steps` or `elbo_steps` draws noise, decodes, takes log-probabilities and adds them
up. The floor decodes without gradients. Passes, their parts, the floor a second time (the spread of
a ratio by chance) and a matrix product of as many multiply-accumulates (the best that the processor
can do) take turns. The model is the convolutional one of training/recipes/mnist-elbo.toml with
random weights. Not measured: reading pictures, other models, a GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from benchmarks.timing import clock, duration, interleave, ratio, table
from models.config import BernoulliConfig, ConvConfig
from models.distributions.batch_noise import BatchNoise
from models.estimators.elbo import elbo_steps
from models.estimators.importance import log_px_steps
from models.estimators.importance_weights import RunningWeights
from models.estimators.steps import CHUNK_ROWS, Steps, chunks
from models.vae.model import VAE
from models.vae_config import VAEConfig

IMAGES = 20
SAMPLES = 1000


@dataclass(frozen=True)
class Pass:
    """Inputs and outputs of one pass, from which its parts can be run alone."""

    vae: VAE
    x: Tensor
    samples: int
    z: Tensor
    log_w: Tensor

    @property
    def rows(self) -> int:
        """Rows that the decoder computes."""
        return self.samples * len(self.x)


def run(*, seconds: float, threads: int) -> Iterator[Table]:
    """Measure for about `seconds`."""
    torch.set_num_threads(threads)
    one = one_pass(random_vae(), images=IMAGES)
    warm_up(one)
    yield _passes(one, seconds)


def random_vae() -> VAE:
    """VAE of 28 x 28 binary pixels and 40 latents, with torch's initial weights."""
    config = VAEConfig(
        image_shape=(1, 28, 28),
        latent_shape=(40,),
        likelihood=BernoulliConfig(),
        encoder=ConvConfig(channels=(32, 64), blocks=(1, 1)),
        decoder=ConvConfig(channels=(32, 48), blocks=(2, 1)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(config).eval().requires_grad_(False)


@torch.no_grad()
def one_pass(vae: VAE, *, images: int) -> Pass:
    """First full pass over random binary images."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, *vae.image_shape, generator=generator).round()
    samples = chunks(SAMPLES, images, CHUNK_ROWS)[0]
    noise = BatchNoise(0, images, "posterior").draw(samples, vae.latent_shape)
    q = vae.posterior(x)
    return Pass(vae, x, samples, q.from_noise(noise), vae.log_weights(x, noise, posterior=q))


@torch.no_grad()
def warm_up(one: Pass) -> None:
    """Run every call twice: first calls of a process allocate memory and choose kernels."""
    for call in (*sides(one).values(), *parts(one).values()):
        call()
        call()


def sides(one: Pass) -> dict[str, Callable[[], object]]:
    """Passes of the project and of the floor, by name."""
    evidence = _endless(lambda: log_px_steps(one.vae, one.x, num_samples=(SAMPLES,), seed=0))
    bound = _endless(lambda: elbo_steps(one.vae, one.x, num_samples=SAMPLES, seed=0))
    flat = one.z.flatten(0, 1)
    return {
        "log_px_steps": lambda: next(evidence),
        "estimate_elbo": lambda: next(bound),
        "floor: decoder": lambda: one.vae.decoder(flat),
        "floor again": lambda: one.vae.decoder(flat),
        "as many MACs in matmul": _matmul(one.rows * one.vae.decoder_macs()),
    }


def _matmul(macs: int) -> Callable[[], object]:
    """Matrix products of `macs` multiply-accumulates: the best that the processor can do."""
    side = 512
    left, right = torch.ones(side, side), torch.ones(side, side)
    times = max(1, round(macs / side**3))
    return lambda: [left @ right for _ in range(times)]


def _endless(start: Callable[[], Steps[Any]]) -> Iterator[None]:
    """Decoder pass after decoder pass; what is between two of them counts as part of the second."""
    while True:
        steps = start()
        with suppress(StopIteration):
            asked = next(steps)
            while True:
                results = asked.run()
                if asked.lead > 1:  # a pass of the decoder, with an axis of samples
                    yield
                asked = steps.send(results)


@torch.no_grad()
def parts(one: Pass) -> dict[str, Callable[[], object]]:
    """Parts of a pass of `log_px_steps` besides the decoder, each alone, by name."""
    noise = BatchNoise(0, len(one.x), "posterior")
    q, prior, likelihood = one.vae.posterior(one.x), one.vae.prior(), one.vae.likelihood(one.z)
    weights = RunningWeights(len(one.x), SAMPLES)
    while weights.count < SAMPLES:
        weights.add(one.log_w)
    return {
        "noise": lambda: noise.draw(one.samples, one.vae.latent_shape),
        "log p(x|z)": lambda: likelihood.log_prob(one.x),
        "log p(z), log q(z|x)": lambda: prior.log_prob(one.z) - q.log_prob(one.z),
        "accumulation": lambda: weights.add(one.log_w),
        "once: encoder": lambda: one.vae.posterior(one.x),
        "once: Pareto diagnostic": weights.pareto_k,
    }


@torch.no_grad()
def _passes(one: Pass, seconds: float) -> Table:
    took = interleave(
        {**sides(one), **parts(one)},
        seconds=seconds,
        min_rounds=2,
        clock=clock(torch.get_num_threads()),
    )
    floor = took["floor: decoder"]
    made = table(
        f"Scoring: passes of {one.rows} rows ({len(one.x)} images x {one.samples} samples)",
        "per pass",
        "median",
        "rows/s",
        "ratio to the floor",
        caption=f"{len(floor)} rounds; medians, quartiles in parentheses. K = {SAMPLES}: "
        f"{len(chunks(SAMPLES, len(one.x), CHUNK_ROWS))} passes an estimate, `once` once. One row: "
        f"{one.vae.decoder_macs() / 1e6:.1f} million multiply-accumulates.",
    )
    for name, values in took.items():
        middle = float(torch.from_numpy(values).median())
        made.add_row(name, duration(middle), f"{one.rows / middle:.0f}", ratio(values, floor))
    return made
