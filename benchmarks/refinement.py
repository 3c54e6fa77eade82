"""Refinement: what a proposal fitted to each image is worth, beside the encoder's draws.

Random test images of every shipped model whose data set is at hand, the same every time, are scored
by both with equal K and seed; a model with labels is given each image's own. Seconds are of the
processor, with one thread. Not measured: the service, a GPU.
"""

import time
from collections.abc import Callable, Iterator

import torch
from rich.table import Table

from app.settings import PRETRAINED
from benchmarks.timing import table
from models.errors import VAEError
from models.estimators.importance import EvidenceEstimate, estimate_log_px
from models.estimators.refine import check_refinable, estimate_refined_log_px
from training.evaluation.trained import TrainedModel, load_trained_model

BUNDLES = PRETRAINED
NUM_SAMPLES = 1000


def run(*, quick: bool, threads: int) -> Iterator[Table]:
    """Score the images of one model after the other."""
    torch.set_num_threads(threads)
    images = 4 if quick else 16
    made = table(
        f"Refinement: {images} test images, K = {NUM_SAMPLES:,}",
        *(
            "model",
            "draws of",
            "look regular",
            "ESS, median (least)",
            "largest k-hat",
            "largest error",
        ),
        *("mean ELBO", "mean estimate", "seconds an image"),
        caption="error: standard error of an estimate, nats. ELBO and estimate in nats.",
    )
    for path in sorted(BUNDLES.glob("*/[0-9]*")):
        try:
            model = load_trained_model(path, num_images=images)
            check_refinable(model.vae, model.labels)
        except VAEError as fault:
            made.add_row(path.parent.name, f"left out: {fault}")
            continue
        for name, estimate in (
            ("the encoder", estimate_log_px),
            ("a fitted proposal", estimate_refined_log_px),
        ):
            made.add_row(path.parent.name, name, *_score(model, estimate))
    yield made


def _score(model: TrainedModel, estimate: Callable[..., EvidenceEstimate]) -> list[str]:
    y = model.labels if model.vae.num_labels else None
    began = time.process_time()
    found = estimate(model.vae, model.x, num_samples=NUM_SAMPLES, seed=1, y=y)
    seconds = (time.process_time() - began) / len(model.x)
    size, elbo = found.effective_sample_size, found.elbo_nats
    assert elbo is not None  # only draws of the prior have none
    return [
        f"{sum(found.weights_look_regular)} of {len(model.x)}",
        f"{float(size.median()):.0f} ({float(size.min()):.0f})",
        f"{float(found.pareto_k.max()):.2f}",
        f"{float(found.standard_error_nats.max()):.3f}",
        f"{float(elbo.mean()):.2f}",
        f"{float(found.estimate_nats.mean()):.2f}",
        f"{seconds:.2f}",
    ]
