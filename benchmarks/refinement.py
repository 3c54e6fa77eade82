"""Refinement: what a proposal fitted to each image is worth, beside the encoder's draws.

Random test images of every shipped model whose data set is at hand, the same every time, are scored
with equal seed: by both with equal K, and to a tolerance, as `log-likelihood` does by default. A
model with labels is given each image's own. Seconds are of the processor, with one thread. Not
measured: the service, a GPU.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from rich.table import Table

from app.operations.parameters import FIXED_SAMPLES, MOST_SAMPLES, TOLERANCE_NATS
from app.settings import PRETRAINED
from benchmarks.timing import table
from models.errors import VAEError
from models.estimators.importance import EvidenceEstimate, estimate_log_px
from models.estimators.refine import check_refinable, estimate_refined_log_px
from models.estimators.tolerance import Goal, estimate_tolerant_log_px
from training.evaluation.trained import TrainedModel, load_trained_model

BUNDLES = PRETRAINED
IMAGES, NUM_SAMPLES = 100, FIXED_SAMPLES


def run(*, quick: bool, threads: int, images: int | None = None) -> Iterator[Table]:
    """Score the images of one model after the other."""
    torch.set_num_threads(threads)
    count = 4 if quick else images or IMAGES
    made = table(
        f"Refinement: {count} test images",
        *("model", "draws of", "K, median", "look regular", f"and error <= {TOLERANCE_NATS}"),
        *("error, median (largest)", "ESS, median (least)", "largest k-hat"),
        *("mean ELBO", "mean estimate", "seconds an image"),
        caption="error: standard error of an estimate, nats. ELBO and estimate in nats.",
    )
    for path in sorted(BUNDLES.glob("*/[0-9]*")):
        try:
            model = load_trained_model(path, num_images=count)
            check_refinable(model.vae)
        except VAEError as fault:
            made.add_row(path.parent.name, f"left out: {fault}")
            continue
        for name, estimate in _ways().items():
            made.add_row(path.parent.name, name, *_score(model, estimate))
    yield made


def _ways() -> dict[str, Callable[..., EvidenceEstimate]]:
    goal = Goal(TOLERANCE_NATS, MOST_SAMPLES)
    return {
        "the encoder": partial(estimate_log_px, num_samples=NUM_SAMPLES),
        "a fitted proposal": partial(estimate_refined_log_px, num_samples=NUM_SAMPLES),
        f"what reaches {TOLERANCE_NATS}": partial(estimate_tolerant_log_px, goal=goal),
    }


def _score(model: TrainedModel, estimate: Callable[..., EvidenceEstimate]) -> list[str]:
    y = model.labels if model.vae.num_labels else None
    began = time.process_time()
    found = estimate(model.vae, model.x, seed=1, y=y)
    seconds = (time.process_time() - began) / len(model.x)
    size, errors = found.effective_sample_size, found.standard_error_nats
    elbo: Any = found.elbo_nats  # only draws of the prior have none
    regular = torch.tensor(found.weights_look_regular)
    good = regular & (errors <= TOLERANCE_NATS)
    counts = torch.as_tensor(found.num_samples).double()
    return [
        f"{float(counts.median()):,.0f}",
        f"{int(regular.sum())} of {len(model.x)}",
        f"{int(good.sum())} of {len(model.x)}",
        f"{float(errors.median()):.3f} ({float(errors.max()):.3f})",
        f"{float(size.median()):.0f} ({float(size.min()):.0f})",
        f"{float(found.pareto_k.max()):.2f}",
        f"{float(elbo.mean()):.2f}",
        f"{float(found.estimate_nats.mean()):.2f}",
        f"{seconds:.2f}",
    ]
