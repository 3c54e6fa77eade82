"""How good weights are while a run goes on: what its objective maximises, of held-out images.

The published numbers are `evaluate.py`'s, which knows no objective.
"""

import math

import torch
from torch import Tensor

from models.estimators.bounds import squared_error
from models.estimators.elbo import estimate_elbo
from models.estimators.importance import estimate_log_px
from models.vae.model import VAE
from training.fit.batches import Data
from training.fit.objectives import final_bound
from training.recipes.objective import ObjectiveConfig

_BATCH = 500
_SEED = 0


@torch.no_grad()
def validate(vae: VAE, data: Data, objective: ObjectiveConfig) -> tuple[float, float]:
    """Mean of the held-out images' bound, and its standard error over them.

    Nats, the same draws every time: the importance-weighted bound for `iwae`, otherwise the ELBO
    with its KL weighed as the objective does (`final_bound`); given the label where there is no
    classifier to do without. Of an autoencoder minus the squared error, in place of nats.
    """
    weight = next(vae.parameters())
    bounds: list[Tensor] = []
    log_likelihoods: list[Tensor] = []
    kls: list[Tensor] = []
    labels = None if vae.config.classifier is not None else data.validation_labels
    k, seed = objective.num_samples, _SEED
    for first in range(0, len(data.validation), _BATCH):
        x = data.validation[first : first + _BATCH].to(weight)
        y = None if labels is None else labels[first : first + len(x)].to(x.device)
        if not vae.has_density:
            bounds.append(-squared_error(vae, x).double().cpu())
        elif objective.kind == "iwae":
            scored = estimate_log_px(vae, x, num_samples=k, seed=seed, first_item=first, y=y)
            bounds.append(scored.estimate_nats)
        else:
            parts = estimate_elbo(vae, x, num_samples=k, seed=seed, first_item=first, y=y)
            log_likelihoods.append(parts.expected_log_likelihood_nats)
            kls.append(parts.kl_nats)
    if log_likelihoods:
        bounds = [final_bound(objective, torch.cat(log_likelihoods), torch.cat(kls))]
    bound = torch.cat(bounds)
    error = bound.std() / math.sqrt(len(bound)) if len(bound) > 1 else math.inf
    return float(bound.mean()), float(error)
