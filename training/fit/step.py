"""A step of training: a batch, its gradient, the weights and their average.

Nothing here waits for the device: what the log and the bar show adds up there, and is read when
they are written (`progress.Window.read`). A step whose gradient is not finite changes no weight.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from training.fit.optimizer import (
    gradient_norm,
    set_learning_rate,
    step_if_finite,
    update_average,
)
from training.fit.order import derive_seed
from training.fit.pseudo_inputs import clamp_pseudo_inputs
from training.fit.training import Training


def take_step(training: Training, chosen: Int64[Tensor, " batch"]) -> None:
    """Change the weights by one batch, unless its gradient is not finite."""
    recipe, vae, device = training.recipe, training.vae, training.device
    at = training.plan.at(training.done.step)
    training.generator.manual_seed(derive_seed(recipe.seed, at.step))
    dtype = training.trained[0].dtype
    batch = training.data.batch(chosen, recipe, progress=at.progress).to(dtype)
    shape = (recipe.objective.num_samples, len(batch.x), *vae.latent_shape)
    noise = torch.randn(shape, dtype=dtype, device=device)
    if training.ranks.count > 1:
        batch, noise = batch.rows(training.rows), noise[:, training.rows]
        own = derive_seed(derive_seed(recipe.seed, at.step), training.ranks.rank)
        training.generator.manual_seed(own)  # dropout differs between the processes
    set_learning_rate(training.optimizer, recipe, at.progress)

    if not vae.training:  # setting it walks all layers
        vae.train()
    mixed = recipe.training.precision == "bf16-mixed"  # data, noise and log-densities stay float32
    with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
        terms = training.objective(batch, noise, at)
    training.optimizer.zero_grad()
    terms.loss.backward()
    if training.centring is not None:
        training.centring.before_step()
    norm = gradient_norm(training.trained)
    step_if_finite(training.optimizer, norm, recipe.optimizer.gradient_clip)
    if training.centring is not None:
        training.centring.after_step()
    clamp_pseudo_inputs(vae)
    decay = min(recipe.training.ema_decay, (1 + at.step) / (10 + at.step))
    update_average(training.averaged, training.trained, decay=decay)
    training.window.add(terms, norm, images=len(chosen))
    training.done.step += 1
