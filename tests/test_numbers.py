"""The numbers agree: docs/models.md, model card, evaluation.json, and what the service answers."""

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from app.main import create_app
from app.settings import Settings
from models.bundle.loading import Bundle, load_bundle
from models.bundle.repository import Repository
from models.bundle.schema import Estimate
from models.images import to_uint8, to_unit
from training.data.datasets import load
from training.data.split import Split
from training.data.subset import choose_subset

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ROOT / "models" / "pretrained"
NAMES = Repository(REPOSITORY).names()
ESTIMATORS = {"elbo": ("elbo", "elbo_nats"), "iwae": ("log-likelihood", "estimate_nats")}


@pytest.fixture(scope="module", params=NAMES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return load_bundle(Repository(REPOSITORY).path_of(request.param))


def find(bundle: Bundle, estimator: str, num_samples: int) -> Estimate:
    return next(
        e
        for e in bundle.evaluation.estimates
        if (e.estimator, e.num_samples) == (estimator, num_samples)
    )


def in_nats(estimate: Estimate) -> str:
    return f"{estimate.mean_nats:.2f} ± {estimate.standard_error_nats:.2f}"


def table_cells(bundle: Bundle) -> list[str]:
    """The cells of the table of models that hold numbers, in its order."""
    large = max(bundle.evaluation.estimates, key=lambda estimate: estimate.num_samples)
    return [
        in_nats(find(bundle, "elbo", 100)),
        in_nats(find(bundle, "iwae", 100)),
        f"{in_nats(large)} ({large.num_samples:,}, {large.n:,})",
        f"{find(bundle, 'iwae', 100).bits_per_dim:.4f}",
        f"{bundle.config.provenance.training_seconds / 60:.0f} min",
    ]


def test_the_promised_models_ship():
    assert {"digits", "mnist", "fashion-mnist", "bccd", "mnist-labelled"} <= set(NAMES)


def test_the_table_repeats_the_evaluation_to_the_printed_digit(bundle: Bundle):
    page = (ROOT / "docs" / "models.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| [{bundle.name}]("))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3:8] == table_cells(bundle)


def test_the_card_repeats_the_evaluation_to_the_printed_digit(bundle: Bundle):
    card = (bundle.path / "README.md").read_text()
    for estimate in bundle.evaluation.estimates:
        assert f"| {estimate.mean_nats:.2f} | {estimate.standard_error_nats:.2f} |" in card


def test_bits_per_dim_follow_from_the_nats(bundle: Bundle):
    for estimate in bundle.evaluation.estimates:
        bits = -estimate.mean_nats / np.log(2) / bundle.config.vae.num_dimensions
        assert estimate.bits_per_dim == pytest.approx(bits, rel=1e-12)


async def scores(bundle: Bundle, images: np.ndarray, estimate: Estimate) -> np.ndarray:
    """What the service answers for these images, posted at once, with the estimate's settings."""
    operation, field = ESTIMATORS[estimate.estimator]
    body = io.BytesIO()
    np.save(body, images)
    app = create_app(
        Settings(
            model_repository=REPOSITORY,
            max_request_cost=1e12,
            max_wait_seconds=1e6,
            request_timeout_seconds=1e6,
        )
    )
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.post(
                f"/v1/models/{bundle.name}/{operation}",
                params={"seed": estimate.seed, "num_samples": estimate.num_samples},
                content=body.getvalue(),
                headers={"Content-Type": "application/x-npy"},
            )
    assert answer.status_code == 200, answer.text
    return np.array([result[field] for result in answer.json()["results"]])


def pictures_of(split: Split, bundle: Bundle) -> np.ndarray:
    """Pixels 0..255 of a split, as a client has them."""
    spec = bundle.config.image
    return to_uint8(to_unit(split.observations(spec), spec))


@pytest.mark.anyio
@pytest.mark.parametrize("estimator", ["elbo", "iwae"])
async def test_the_service_gives_the_published_mean_of_digits(estimator: str):
    bundle = load_bundle(Repository(REPOSITORY).path_of("digits"))
    dataset = load("digits")
    estimate = find(bundle, estimator, 100)
    answered = await scores(bundle, pictures_of(dataset.test, bundle), estimate)
    assert len(answered) == estimate.n == 300
    assert answered.mean() == pytest.approx(estimate.mean_nats, rel=1e-6)
    error = answered.std(ddof=1) / len(answered) ** 0.5
    assert error == pytest.approx(estimate.standard_error_nats, rel=1e-5)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("estimator", "num_samples"), [("elbo", 100), ("iwae", 100), ("iwae", 1000)]
)
async def test_the_service_gives_the_published_scores_of_mnist(
    estimator: str, num_samples: int, data_dir
):
    bundle = load_bundle(Repository(REPOSITORY).path_of("mnist"))
    dataset = load("mnist-static", data_dir=data_dir("static_binarized_mnist").parent)
    estimate = find(bundle, estimator, num_samples)
    images = pictures_of(dataset.test, bundle)
    if estimate.n < len(images):
        images = images[choose_subset(len(images), estimate.n, seed=estimate.seed).numpy()]
    answered = await scores(bundle, images[:4], estimate)
    reference = next(
        r
        for r in bundle.evaluation.references
        if (r.estimator, r.num_samples) == (estimator, num_samples)
    )
    published = torch.tensor(reference.values_nats, dtype=torch.float64)
    nearest = [(published - score).abs().min().item() for score in answered]
    assert max(nearest) < 1e-3


def test_the_mnist_bundle_reaches_the_promised_bound():
    bundle = load_bundle(Repository(REPOSITORY).path_of("mnist"))
    estimate = find(bundle, "iwae", 5000)
    assert estimate.n == 1000
    assert estimate.mean_nats >= -83.0
    assert bundle.vae.decoder_macs() < 10_000_000
