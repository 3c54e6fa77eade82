"""Small bundles for the tests of the service."""

from pathlib import Path

import numpy as np
import torch

from models.bundle.examples import Examples
from models.bundle.good_pictures import GoodPictures
from models.bundle.latent_map import LatentMap
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation, Reference
from models.config import BernoulliConfig, DiscretizedLogisticConfig, MLPConfig
from models.images.spec import ImageSpec
from models.vae.model import VAE
from models.vae_config import VAEConfig
from tests import oracle
from tests.provenance import make_provenance
from training.evaluation.good_pictures import can_score, fit_good_pictures, measure_pictures

SIDE = 8
LATENTS = 4
LABELS = ("0", "1", "2")
SOURCE = "8 of 99 held-out pictures of noise (test): noise. Licence: MIT."
REFERENCES = tuple(float(v) for v in np.linspace(-60.0, -20.0, 99))


def evaluation(*references: Reference) -> Evaluation:
    """A stand-in for a test set's numbers."""
    return Evaluation(
        dataset="noise",
        split="test",
        num_images=99,
        estimates=(),
        rate_nats=0.0,
        distortion_nats=0.0,
        active_units=0,
        references=references,
    )


def write_bundle(
    repository: Path,
    name: str,
    version: int,
    vae: VAE,
    image: ImageSpec,
    *refs: Reference,
    labels: tuple[str, ...] = (),
    with_regret: bool = False,
    with_page: bool = False,
) -> None:
    """One bundle, with its parity inputs drawn as the likelihood has them.

    With a page they are its held-out pictures, too, the first one of no known class.
    """
    top = 1.0 if image.values == "unit" else image.levels - 1
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(8, *image.shape, generator=generator) * top
    x = x if image.values == "unit" else x.round()
    classes = (None, *(labels or "abc"))
    save_bundle(
        repository / name / str(version),
        vae=vae,
        config=BundleConfig(
            name=name,
            version=version,
            vae=vae.config,
            image=image,
            labels=labels,
            provenance=make_provenance(dataset="noise"),
        ),
        evaluation=evaluation(*refs),
        card="# A test's model\n",
        pictures={},
        parity_inputs=x,
        examples=Examples.of(
            x.numpy(), image, labels=[classes[i % len(classes)] for i in range(8)], source=SOURCE
        )
        if with_page
        else None,
        latent_map=map_of(vae) if with_page else None,
        good_pictures=good_pictures(vae, image, with_regret=with_regret)
        if can_score(vae)
        else None,
    )


def map_of(vae: VAE) -> LatentMap:
    """A map in the first two latents."""
    first, second = np.eye(2, vae.num_latents).tolist()
    return LatentMap(
        source=SOURCE,
        mean=(0.25,) * vae.num_latents,
        axes=(tuple(first), tuple(second)),
        explained=(0.5, 0.25),
        points=((0.0, 1.5), (-2.0, 0.5)),
        labels=(1, None),
        label_names=("a", "b"),
    )


@torch.no_grad()
def good_pictures(
    vae: VAE, image: ImageSpec, count: int = 200, *, with_regret: bool = False
) -> GoodPictures:
    """Scores of pictures of noise, as the parity inputs are, so that `anomaly` is offered."""
    top = 1.0 if image.values == "unit" else image.levels - 1
    x = torch.rand(count, *image.shape, generator=torch.Generator().manual_seed(1)) * top
    whole = x if image.values == "unit" else x.round()
    some = whole.numpy()[:40] if with_regret else whole.numpy()
    measured = measure_pictures(vae, some, image, with_regret=with_regret)
    return fit_good_pictures(measured, dataset="noise", split="test")


def random_vae(config: VAEConfig, seed: int = 0) -> VAE:
    """A VAE with torch's initial weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return VAE(config).eval().requires_grad_(False)


def binary_vae(seed: int = 0) -> VAE:
    """8 x 8 binary pixels, 4 latents."""
    return random_vae(
        VAEConfig(
            image_shape=(1, SIDE, SIDE),
            latent_shape=(LATENTS,),
            likelihood=BernoulliConfig(),
            encoder=MLPConfig(hidden=(16,)),
            decoder=MLPConfig(hidden=(16,)),
        ),
        seed,
    )


def make_repository(path: Path) -> Path:
    """`mnist` (2 versions, binary), `mnist-labelled`, `colour` and `oracle` (linear-Gaussian)."""
    binary = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="stochastic")
    references = (
        Reference(estimator="elbo", num_samples=100, values_nats=REFERENCES),
        Reference(estimator="iwae", num_samples=200, values_nats=REFERENCES),
    )
    write_bundle(path, "mnist", 1, binary_vae(1), binary, *references)
    write_bundle(path, "mnist", 2, binary_vae(2), binary, *references, with_page=True)
    colour = VAEConfig(
        image_shape=(3, 6, 5),
        latent_shape=(2,),
        likelihood=DiscretizedLogisticConfig(num_mixtures=2),
        encoder=MLPConfig(hidden=(8,)),
        decoder=MLPConfig(hidden=(8,)),
    )
    spec = ImageSpec(channels=3, height=6, width=5)
    write_bundle(path, "colour", 1, random_vae(colour), spec, with_page=True)
    labelled = VAEConfig(
        image_shape=(1, SIDE, SIDE),
        latent_shape=(LATENTS,),
        num_labels=len(LABELS),
        likelihood=BernoulliConfig(),
        encoder=MLPConfig(hidden=(16,)),
        decoder=MLPConfig(hidden=(16,)),
        classifier=MLPConfig(hidden=(16,)),
    )
    write_bundle(
        path, "mnist-labelled", 1, random_vae(labelled), binary, *references, labels=LABELS
    )
    exact = oracle.instance("medium", dtype=torch.float32)
    write_bundle(path, "oracle", 1, exact.vae, oracle.IMAGE_SPEC["medium"])
    return path
