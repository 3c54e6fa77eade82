"""Chains that are taken along f_0, ..., f_T by moves that keep each of them.

    f_t(z) = q0(z)^(1 - b_t) p(x, z)^b_t,    0 = b_0 < b_1 < ... < b_T = 1
    move:  Hamiltonian Monte Carlo, in units of q0's scale

The sizes of the moves are found by a pilot run and then kept: moves that adapt within the run that
counts would not keep f_t, and no bound by their weights would hold. All is float64.

Source: Neal 2001, Statistics and Computing 11, and 2011, arXiv:1206.1901; Wu et al. 2017,
    arXiv:1611.04273.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.distributions.from_noise import FromNoise
from models.errors import InputError, UnsupportedOperation
from models.estimators.defensive import DefensiveMixture, by_item, slope_of
from models.estimators.fitted_modes import Modes, refined_modes_steps
from models.estimators.importance_weights import RunningWeights
from models.estimators.passes import posterior_params, slope_steps
from models.estimators.steps import Pass, Steps
from models.scores.kinds import AnnealingStart
from models.vae.model import VAE
from models.vae.networks import MIN_ROWS

SHARPNESS = 4.0
"""Of the sigmoid schedule: the steps at both ends are 14 times smaller than in the middle."""
ACCEPTED = 0.65
"""Share of moves that the pilot run aims at."""
PLACES, PILOT_MOVES = 8, 6
"""Places of the pilot run along the path, and moves at each."""
_RATE = 0.7
_JITTER = 0.2
"""Step sizes vary by so much from move to move: equal ones can bring a chain back to its start."""

Latents = Float64[Tensor, "chain batch latent"]


@dataclass(frozen=True)
class Annealing:
    """How long the chains are, and how many."""

    start: AnnealingStart = "refined"
    """q0."""
    num_steps: int = 100
    """T."""
    num_chains: int = 16
    """M, a multiple of 16."""
    num_leapfrog: int = 3
    """Leapfrog steps of a move."""

    def __post_init__(self) -> None:
        """Refuse numbers without a meaning.

        Raises:
            InputError: Says which.
        """
        if self.num_chains < MIN_ROWS or self.num_chains % MIN_ROWS:
            fixed = max(1, round(self.num_chains / MIN_ROWS)) * MIN_ROWS
            raise InputError(
                f"num_chains={self.num_chains} is no positive multiple of {MIN_ROWS}, with which "
                f"an image's result does not depend on its neighbours. Use {fixed}.",
                parameter="num_chains",
                received=self.num_chains,
                suggestion=fixed,
            )
        for name, least in (("num_steps", 2), ("num_leapfrog", 1)):
            if (received := getattr(self, name)) < least:
                raise InputError(
                    f"{name}={received} is too few. Give {name}={least} or more.",
                    parameter=name,
                    received=received,
                    suggestion=least,
                )

    @property
    def gradients(self) -> int:
        """Gradients of log p(x, z) that one image takes, without the fit of a refined start."""
        moves = self.num_steps - 1
        return self.num_chains * (1 + moves * self.num_leapfrog) + self.pilot_gradients

    @property
    def pilot_gradients(self) -> int:
        """Those of the pilot run among them."""
        moves = len(self.pilot_places) * PILOT_MOVES
        return self.num_chains * (1 + moves * self.num_leapfrog)

    @property
    def pilot_places(self) -> list[int]:
        """Steps of the path, ascending, at which the pilot run finds the sizes of moves."""
        last = self.num_steps - 1
        return sorted(set(np.linspace(1, last, min(PLACES, last)).round().astype(int).tolist()))


def check_annealable(vae: VAE, y: Tensor | None) -> None:
    """Refuse a model whose latents cannot be moved along a gradient.

    Raises:
        UnsupportedOperation: Latents are discrete, there is no prior, or a model with labels is
            given none.
    """
    if vae.config.posterior.kind == "enumerated":
        why = "this model's latents are discrete, so that log p(x, z) has no gradient in z"
        fix = "Its log p(x) is known: use estimator='exact'"
    elif not vae.has_density:
        why, fix = "this model is an autoencoder, which has no prior", "Choose a VAE"
    elif vae.num_labels and y is None:
        why, fix = "this model has labels, and no label was given", "Give a label"
    else:
        return
    raise UnsupportedOperation(f"log p(x) cannot be annealed: {why}. {fix}.")


def in_double(vae: VAE) -> VAE:
    """The model itself if it is of float64; otherwise a frozen copy that is, with equal weights."""
    if next(vae.parameters()).dtype == torch.float64:
        return vae
    device = "cpu" if vae.device.type == "mps" else vae.device  # mps has no float64
    with torch.inference_mode(False):  # whose tensors have no gradients
        return deepcopy(vae).to(device).double().freeze()


def schedule(num_steps: int) -> Float64[Tensor, " step"]:
    """b_0..b_T, sigmoid: small steps where q0 and p(x, z) take over from each other.

    Source: Wu et al. 2017, arXiv:1611.04273.
    """
    place = torch.linspace(-1, 1, num_steps + 1, dtype=torch.float64)
    raw = (SHARPNESS * place).sigmoid()
    b = (raw - raw[0]) / (raw[-1] - raw[0])
    b[0], b[-1] = 0.0, 1.0
    return b


@dataclass(frozen=True)
class _Start:
    """q0, and the units in which chains move."""

    noise: FromNoise
    """Distribution of the noise of a draw."""
    draw: Callable[[Tensor], Tensor]
    log_prob_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Of flat latents, float64 on the CPU."""
    factor: Callable[[float], Tensor]
    """T of moves at b, along T r with r ~ N(0, I): (batch, latent) if it is diagonal."""


@dataclass(frozen=True)
class _State:
    """Where chains are, with both log-densities and their gradients; float64 on the CPU."""

    z: Latents
    log_joint: Tensor
    log_start: Tensor
    of_joint: Latents
    of_start: Latents

    def log_f(self, b: float) -> Tensor:
        return (1 - b) * self.log_start + b * self.log_joint

    def slope(self, b: float) -> Tensor:
        return (1 - b) * self.of_start + b * self.of_joint

    def replaced(self, other: "_State", where: Tensor) -> "_State":
        """The other state's chains where they are accepted."""
        pairs = ((getattr(other, f.name), getattr(self, f.name)) for f in fields(self))
        return _State(
            *(
                torch.where(where if new.ndim == 2 else where.unsqueeze(-1), new, old)
                for new, old in pairs
            )
        )


@dataclass(frozen=True)
class Chains:
    """Chains of a batch of images, (chain, batch): where they start, and how they move."""

    vae: VAE
    x: Tensor
    y: Tensor | None
    start: _Start
    settings: Annealing
    noise: BatchNoise
    seed: int

    def first_steps(self) -> Steps[_State]:
        """Draws of q0."""
        noise = self.noise.draw_for(self.start.noise, self.settings.num_chains, dtype=torch.float64)
        return (yield from self.at_steps(self.start.draw(noise)))

    def at_steps(self, z: Latents) -> Steps[_State]:
        """Both log-densities at z."""
        log_joint, of_joint = yield from slope_steps(self.vae, z, self.x, self.y)
        log_start, of_start = self.start.log_prob_and_slope(z)
        # A chain that has left the numbers has the density 0: no move there is accepted.
        log_joint = log_joint.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        return _State(z, log_joint, log_start, of_joint, of_start)

    def move_steps(
        self, state: _State, b: float, size: Float64[Tensor, " batch"]
    ) -> Steps[tuple[_State, Tensor]]:
        """A move that keeps f at b, and the probability with which it was accepted."""
        settings, length, factor = self.settings, self.vae.num_latents, self.start.factor(b)
        noise = self.noise.draw(settings.num_chains, (length + 2,), dtype=torch.float64)
        momentum, rest = noise[..., :length].contiguous(), noise[..., length:]
        varied = 1 + _JITTER * (2 * torch.special.ndtr(rest[..., 0]) - 1)
        step = (size * varied).unsqueeze(-1)
        energy = state.log_f(b) - 0.5 * momentum.square().sum(-1)
        new, momentum = state, momentum + 0.5 * step * _times(factor, state.slope(b), mT=True)
        for left in reversed(range(settings.num_leapfrog)):
            new = yield from self.at_steps(new.z + step * _times(factor, momentum))
            part = 1.0 if left else 0.5
            momentum = momentum + part * step * _times(factor, new.slope(b), mT=True)
        gain = new.log_f(b) - 0.5 * momentum.square().sum(-1) - energy
        is_accepted = torch.special.log_ndtr(rest[..., 1]) < gain  # not of NaN
        probability = gain.clamp(max=0).exp().nan_to_num(nan=0.0)
        return state.replaced(new, is_accepted), probability

    def tune_steps(self) -> Steps[Float64[Tensor, "move batch"]]:
        """The size of each move of the path, b_1..b_{T-1}, by a pilot run."""
        b, places = schedule(self.settings.num_steps), self.settings.pilot_places
        state = yield from self.first_steps()
        log_size = torch.full((len(self.x),), -0.25 * math.log(self.vae.num_latents)).double()
        found = []
        for place in places:
            kept = []
            for move in range(PILOT_MOVES):
                size = log_size.exp()
                state, probability = yield from self.move_steps(state, float(b[place]), size)
                log_size = log_size + _RATE * (_over_chains(probability) - ACCEPTED)
                if move >= PILOT_MOVES // 2:
                    kept.append(log_size)
            found.append(torch.stack(kept, -1).mean(-1).numpy())
        moves = np.arange(1, self.settings.num_steps)
        by_image = [np.interp(moves, places, column) for column in zip(*found, strict=True)]
        return torch.from_numpy(np.stack(by_image, 1)).exp()

    def anneal_steps(
        self, state: _State, path: Tensor, sizes: Float64[Tensor, "move batch"]
    ) -> Steps[tuple[RunningWeights, Tensor]]:
        """Take chains along the path: their weights, and the share of moves accepted."""
        log_w = torch.zeros_like(state.log_joint)
        accepted = torch.zeros(len(self.x), dtype=torch.float64)
        b = path.tolist()
        for i in range(1, len(b)):
            log_w = log_w + (b[i] - b[i - 1]) * (state.log_joint - state.log_start)
            if i <= len(sizes):
                moved, _probability = yield from self.move_steps(state, b[i], sizes[i - 1])
                has_moved = (moved.z != state.z).any(-1)
                accepted, state = accepted + _over_chains(has_moved.double()), moved
        weights = RunningWeights(len(self.x), len(log_w))
        weights.add(log_w)
        return weights, accepted / len(sizes)


def chains_steps(
    vae: VAE, x: Tensor, y: Tensor | None, settings: Annealing, seed: int, first_item: int
) -> Steps[Chains]:
    """Chains of each image, with their start; `annealing.py` explains the arguments."""
    check_annealable(vae, y)
    vae.check_support(x, y)
    double = in_double(vae)
    (params,) = yield Pass(posterior_params, (vae,), (x.to(next(vae.parameters())), y))
    exact, labels = x.to(next(double.parameters())), None if y is None else y.to(double.device)
    with torch.inference_mode(False), torch.no_grad():  # gradients are taken later
        q: Any = double.posterior_from(params.clone().to(exact), labels)
        q0: FromNoise = double.prior(labels) if settings.start == "prior" else q
    scale = q.scale.flatten(1).double().cpu()
    if settings.start == "refined":  # in the model's own precision, as it is for itself
        modes = yield from refined_modes_steps(vae, x, y, q, seed=seed, first_item=first_item)
        start = _refined_start(modes, modes.proposal(double, exact, labels))
    else:
        start = _plain_start(q0, scale, exact, is_prior=settings.start == "prior")
    noise = BatchNoise(seed, len(x), "annealing", first_item=first_item)
    return Chains(double, exact, labels, start, settings, noise, seed)


def _refined_start(modes: Modes, r: DefensiveMixture) -> _Start:
    """The normals of each image, in units of its first one; moves lead out to what they miss."""
    return _Start(r.noise, r.q_from_noise, r.log_q_and_slope, lambda _b: modes.first.factor)


def _plain_start(q0: FromNoise, scale: Tensor, x: Tensor, *, is_prior: bool) -> _Start:
    """The prior or the encoder's q(z|x), of whose scale the units are."""

    def factor(b: float) -> Tensor:
        # From the prior's units, about 1, to those of p(z|x), about the encoder's.
        return (1 - b + b / scale.square()).rsqrt() if is_prior else scale

    def draw(noise: Tensor) -> Tensor:
        return q0.from_noise(noise.to(x)).flatten(2).double().cpu()

    return _Start(q0, draw, lambda z: slope_of(q0, z, x), factor)


def _times(factor: Tensor, vectors: Latents, *, mT: bool = False) -> Latents:
    """T v or T'v of each image."""
    return by_item(factor.mT if mT and factor.ndim > 2 else factor, vectors)


def _over_chains(values: Float64[Tensor, "chain batch"]) -> Float64[Tensor, " batch"]:
    """Their mean; along the last axis torch adds in the same order whatever the batch."""
    return values.T.contiguous().mean(-1)
