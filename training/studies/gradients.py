"""Gradient variance: how noisy the encoder's gradient is by each estimator, over many draws.

    g(e) the gradient of a batch's mean objective at noise e, G = E[g]
    variance = sum_i Var(g_i)    signal-to-noise = |G| / sqrt(variance)

Only the latent's noise is random: the images stay the same and nothing is dropped out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.errors import InputError, UnsupportedOperation
from models.vae.model import VAE
from training.evaluation.trained import TrainedModel
from training.fit.objectives import OBJECTIVES, Batch, Position
from training.recipes.objective import ELBOConfig, IWAEConfig, ObjectiveConfig, ScoreFunctionConfig
from training.studies.requirements import require_density, require_dimensions

BLOCKS = 10
"""Equal parts of the draws, whose spread gives the errors."""

Estimator = tuple[Literal["ELBO", "IWAE"], str, ObjectiveConfig]


@dataclass(frozen=True)
class GradientRow:
    """One estimator of the encoder's gradient, in nats per unit of the weights."""

    bound: Literal["ELBO", "IWAE"]
    estimator: str
    num_samples: int
    """Draws per image of one gradient: S of the ELBO, K of the IWAE bound."""
    draws: int
    """Gradients that were drawn."""
    variance: float
    variance_error: float
    signal_to_noise: float
    """Zero where the noise hides the signal."""
    signal_to_noise_error: float


def gradient_variance(
    model: TrainedModel,
    *,
    num_images: int = 16,
    num_samples: Sequence[int] = (1, 4, 16),
    draws: int = 100,
    seed: int = 0,
) -> list[GradientRow]:
    """Variance of the ELBO's gradient by three estimators and of the IWAE bound's by two.

    Args:
        model: The model; its first test images make the batch, with their labels if it has any.
        num_images: Size of the batch, whose mean objective is differentiated.
        num_samples: Draws per image of one gradient.
        draws: Gradients of each estimator; all estimators get the same noise.
        seed: Seed of the noise.

    Raises:
        InputError: Too few draws, or no image or sample.
        UnsupportedOperation: An autoencoder or a mixture; or a model with labels, and images that
            have none.

    Source: Ranganath, Gerrish and Blei 2014, arXiv:1401.0118; Rainforth et al. 2018,
        arXiv:1802.04537; Tucker et al. 2018, arXiv:1810.04152.
    """
    require_density(model)
    require_dimensions(model)
    least = {"draws": 2 * BLOCKS, "images": 1, "samples": 1}
    given = {"draws": draws, "images": num_images, "samples": min(num_samples, default=0)}
    for name, value in given.items():
        if value < least[name]:
            raise InputError(
                f"{name}={value} is too few for a variance: at least {least[name]}. Take --{name} "
                f"{least[name]}.",
                parameter=name,
                received=value,
                limit=least[name],
            )
    vae = trainable_copy(model.vae)
    batch = _first_images(model, num_images)
    return [
        row_of(vae, batch, estimator, draws=draws, seed=seed)
        for estimator in estimators(vae, num_samples)
    ]


def _first_images(model: TrainedModel, count: int) -> Batch:
    x, labels = model.x[:count], model.labels
    if not model.vae.num_labels:
        return Batch(x)
    if labels is None:
        raise UnsupportedOperation(
            f"The gradient of {model.name} needs images with labels, and those of "
            f"{model.dataset.name} have none. Take a model that was trained without labels."
        )
    return Batch(x, labels[:count])


def estimators(vae: VAE, num_samples: Sequence[int]) -> Iterator[Estimator]:
    """Every estimator of the model's gradient, at each number of samples."""
    for count in num_samples:
        yield "ELBO", "reparameterised", ELBOConfig(num_samples=count, gradient="plain")
        plain = ScoreFunctionConfig(num_samples=count, baseline="none")
        yield "ELBO", "score function", plain
        if count > 1:
            config = ScoreFunctionConfig(num_samples=count, baseline="leave_one_out")
            yield "ELBO", "score function, baseline", config
    for count in num_samples:
        yield "IWAE", "plain", IWAEConfig(num_samples=count)
        if vae.config.prior.kind != "vamp":
            yield "IWAE", "dreg", IWAEConfig(num_samples=count, gradient="dreg")


def trainable_copy(vae: VAE) -> VAE:
    """A copy of the model in eval mode, with gradients in its encoder alone."""
    weight = next(vae.parameters())
    copy = VAE(vae.config)
    copy.load_state_dict(vae.state_dict())
    copy.to(weight).eval().requires_grad_(False)
    for parameter in encoder_parameters(copy):
        parameter.requires_grad_(True)
    return copy


def encoder_parameters(vae: VAE) -> list[torch.nn.Parameter]:
    """Weights of the encoder, and of the networks between a hierarchical posterior's layers."""
    return [*vae.encoder.parameters(), *vae.posterior_module.parameters()]


def row_of(vae: VAE, batch: Batch, estimator: Estimator, *, draws: int, seed: int) -> GradientRow:
    """Moments of one estimator's gradients."""
    bound, name, config = estimator
    means, variances, size = block_moments(
        gradients(vae, batch, config, draws=draws, seed=seed), size=draws // BLOCKS
    )
    variance, error, ratio, ratio_error = summarise(means, variances, size)
    return GradientRow(
        bound, name, config.num_samples, BLOCKS * size, variance, error, ratio, ratio_error
    )


def gradients(
    vae: VAE, batch: Batch, config: Any, *, draws: int, seed: int
) -> Iterator[Float[Tensor, " parameter"]]:
    """The encoder's gradient of the loss, flat, at one noise after another."""
    objective = OBJECTIVES[config.kind](vae, config)
    noise = BatchNoise(seed, len(batch.x), "training")
    parameters = encoder_parameters(vae)
    for _ in range(draws):
        drawn = noise.draw(config.num_samples, vae.latent_shape, dtype=batch.x.dtype)
        loss = objective(batch, drawn, Position(step=0, epoch=0.0, progress=0.0)).loss
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(found, parameters, strict=True)
        yield torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def block_moments(
    values: Iterator[Float[Tensor, " parameter"]], *, size: int
) -> tuple[Float64[Tensor, "block parameter"], Float64[Tensor, " block"], int]:
    """Mean and total variance of `BLOCKS` blocks of `size` gradients each."""
    means, variances = [], []
    for _ in range(BLOCKS):
        block = torch.stack([next(values) for _ in range(size)]).double()
        means.append(block.mean(0))
        variances.append(block.var(0).sum())
    return torch.stack(means), torch.stack(variances), size


def summarise(
    means: Float64[Tensor, "block parameter"], variances: Float64[Tensor, " block"], size: int
) -> tuple[float, float, float, float]:
    """Variance and signal-to-noise ratio with their standard errors, by blocks and by jackknife.

    |G|^2 is the squared length of the mean less variance / draws, which is that length's bias.
    """
    gram, blocks = means @ means.T, len(means)

    def ratio(kept: Tensor) -> float:
        count = len(kept)
        variance = float(variances[kept].mean())
        squared = float(gram[kept][:, kept].mean()) - variance / (count * size)
        return sqrt(max(squared, 0.0) / variance) if variance > 0 else 0.0

    everything = torch.arange(blocks)
    without = torch.tensor([ratio(everything[everything != b]) for b in range(blocks)]).double()
    spread = (without - without.mean()).square().sum() * (blocks - 1) / blocks
    return (
        float(variances.mean()),
        float(variances.std() / sqrt(blocks)),
        ratio(everything),
        float(spread.sqrt()),
    )
