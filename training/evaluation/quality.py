"""What an evaluation says beside likelihoods: reconstructions, and latents as features.

Both stand beside principal components of training images, as many as the model has latents.
"""

from dataclasses import replace
from typing import TypedDict

import numpy as np
import torch
from rich.console import Console

from models.bundle.schema import Embedding, EmbeddingKind, Reconstruction
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.split import Split
from training.evaluation.components import Components, fit_components
from training.evaluation.embeddings import MAX_TEST, MAX_TRAIN, can_probe, probe
from training.evaluation.image_rows import ImageRows, read_rows
from training.evaluation.reconstruction import reconstruct_by_components, summarise_model
from training.evaluation.scoring import Images, Labels, Scorer
from training.progress_bar import ProgressBar


class Quality(TypedDict):
    """Fields of an evaluation."""

    reconstructions: tuple[Reconstruction, ...]
    embeddings: tuple[Embedding, ...]


def measure_quality(
    vae: VAE,
    x: Images,
    labels: Labels | None,
    *,
    train: Split,
    spec: ImageSpec,
    console: Console | None = None,
) -> Quality:
    """Errors of reconstructions, and accuracies of the latents where both splits have labels.

    Args:
        vae: The model, in eval mode on the device that computes.
        x: Held-out images, two at least, in the likelihood's support.
        labels: Their labels, if they have any.
        train: Training images, of which a seeded subset is read.
        spec: Size, colour and levels of the model's observations.
        console: Where to show progress; nowhere by default.

    Raises:
        DatasetError: A file of the training images changed.
    """
    train_rows = read_rows(train, spec)
    test_rows = ImageRows(
        x.float().numpy(), None if labels is None else labels.numpy().astype(np.int64)
    )
    with ProgressBar(console=console) as progress:
        scorer = Scorer(vae, x, progress=progress)
        reconstructions = [summarise_model(scorer.reconstructions())]
        embeddings: tuple[Embedding, ...] = ()
        if len(train_rows.x) > 1:
            components = fit_components(train_rows.pixels, vae.num_latents)
            reconstructions.append(
                reconstruct_by_components(components, x, unit_scale=vae.unit_scale)
            )
            embeddings = _probe(scorer, components, train_rows, test_rows)
    return {"reconstructions": tuple(reconstructions), "embeddings": embeddings}


def _probe(
    scorer: Scorer, components: Components, train: ImageRows, test: ImageRows
) -> tuple[Embedding, ...]:
    """Accuracies of subsets of both splits by the latents, the components and the pixels."""
    known, unseen = train.choose(MAX_TRAIN), test.choose(MAX_TEST)
    if known.labels is None or unseen.labels is None or not can_probe(known.labels):
        return ()
    latents = [
        replace(scorer, x=torch.from_numpy(rows.x)).latents().float().numpy()
        for rows in (known, unseen)
    ]
    features: dict[EmbeddingKind, tuple[np.ndarray, np.ndarray]] = {
        "posterior_mean": (latents[0], latents[1]),
        "pca": (components.encode(known.pixels), components.encode(unseen.pixels)),
        "pixels": (known.pixels, unseen.pixels),
    }
    return probe(features, train=known.labels, test=unseen.labels)
