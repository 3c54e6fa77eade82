"""A repository with a small bundle of every family, for 4x4 pictures."""

from pathlib import Path

import torch

from models.bundle.schema import Reference
from models.estimators.exact import has_exact_posterior
from models.images.spec import ImageSpec
from tests import oracle
from tests.app.repository import random_vae, write_bundle
from tests.models.family_cases import FAMILIES, family

SIDE = 4
LABELS = ("ant", "bee", "cat")
BINARY = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="threshold")
GREY = ImageSpec(channels=1, height=SIDE, width=SIDE, values="unit")
REFERENCE = Reference(estimator="iwae", num_samples=7, values_nats=(-30.0, -20.0, -10.0, 0.0))
LABELLED = tuple(name for name in FAMILIES if family(name).num_labels)
MANY = "many"
"""25 labels without names, the first as probable as all others together."""
PPCA = "ppca"
"""A linear-Gaussian model whose posterior is exact."""


def exact_oracle() -> oracle.Oracle:
    """The instance behind `PPCA`."""
    made = oracle.make(
        latents=3,
        shape=(1, SIDE, SIDE),
        noise_scale=0.3,
        posterior_scale=1.0,
        posterior_shift=0.0,
        dtype=torch.float32,
    )
    assert has_exact_posterior(made.vae)
    return made


def make_families(path: Path) -> Path:
    """Every family under its name, `MANY` and `PPCA`."""
    for seed, name in enumerate(FAMILIES):
        config = family(name)
        spec = GREY if config.likelihood.kind == "point" else BINARY
        labels = LABELS if config.num_labels else ()
        vae = random_vae(config, seed)
        with torch.no_grad():  # initial weights hardly tell labels and components apart
            generator = torch.Generator().manual_seed(seed)
            for weights in vae.parameters():
                weights += 0.3 * torch.randn(weights.shape, generator=generator)
        write_bundle(path, name, 1, vae, spec, REFERENCE, labels=labels)
    many = family("m2", num_labels=25, label_probabilities=[0.5] + [0.5 / 24] * 24)
    write_bundle(path, MANY, 1, random_vae(many), BINARY)
    write_bundle(path, PPCA, 1, exact_oracle().vae, GREY, REFERENCE)
    return path
