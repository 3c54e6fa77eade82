"""Samples and reconstructions of a trained model as pictures."""

import torch
from torch import Tensor

from models.distributions.batch_noise import BatchNoise
from models.estimators.reconstruction import reconstruction_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.vae.model import VAE
from training.data.subset import choose_subset
from training.data.summary import COLUMNS

PICTURE_SEED = 0
_NUM_RECONSTRUCTIONS = 32


@torch.no_grad()
def draw_samples(vae: VAE, count: int, *, seed: int = PICTURE_SEED) -> Tensor:
    """Means of p(x|z) at draws z ~ p(z): the service's answers to the same seed.

    Samples of a model with labels have the labels 0, 1, 2, ... in turn.
    """
    y = torch.arange(count) % vae.num_labels if vae.num_labels else None
    prior = vae.prior(y)
    noise = BatchNoise(seed, count, "prior").draw_for(prior, 1)[0]
    return vae.likelihood(prior.from_noise(noise), y).mean


@torch.no_grad()
def reconstruct_some(vae: VAE, x: Tensor) -> Tensor:
    """Rows of random test images, each above the row of their reconstructions.

    A reconstruction is the mean of p(x|z) at the mean of q(z|x), under the most probable label.
    """
    chosen = x[choose_subset(len(x), _NUM_RECONSTRUCTIONS, seed=PICTURE_SEED)]
    _, means = run_steps(reconstruction_steps(vae, chosen, chunk_rows=CHUNK_ROWS))
    rows = zip(chosen.split(COLUMNS), means.split(COLUMNS), strict=True)
    return torch.cat([row for pair in rows for row in pair])
