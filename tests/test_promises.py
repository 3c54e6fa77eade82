"""Promises that cross the packages: the oracle through a bundle and HTTP, and seeds and rows."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from app.main import create_app
from app.settings import Settings
from models.bundle.loading import load_bundle
from models.bundle.repository import Repository
from models.bundle.saving import save_bundle
from models.bundle.schema import BundleConfig, Evaluation
from tests import oracle
from tests.provenance import make_provenance

PRETRAINED = Path(__file__).resolve().parent.parent / "models" / "pretrained"
NAMES = Repository(PRETRAINED).names()
pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client_of(repository: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(model_repository=repository, max_request_cost=1e12))
    async with app.router.lifespan_context(app):
        await app.state.service.registry.wait()
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def npy(array: np.ndarray) -> dict[str, object]:
    body = io.BytesIO()
    np.save(body, array)
    headers = {"Content-Type": "application/x-npy", "Accept": "application/json"}
    return {"content": body.getvalue(), "headers": headers}


@pytest.fixture
def alone(name: str, tmp_path: Path) -> Path:
    """A repository of one shipped model: the others need not be loaded."""
    (tmp_path / name).symlink_to(PRETRAINED / name)
    return tmp_path


@pytest.fixture(scope="module")
def oracles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the three instances."""
    repository = tmp_path_factory.mktemp("oracles")
    for name in oracle.INSTANCES:
        instance = oracle.instance(name)
        config = BundleConfig(
            name=name,
            version=1,
            vae=instance.vae.config,
            image=oracle.IMAGE_SPEC[name],
            provenance=make_provenance(dataset="oracle"),
        )
        evaluation = Evaluation(
            dataset="oracle",
            split="test",
            num_images=0,
            estimates=(),
            rate_nats=0,
            distortion_nats=0,
            active_units=0,
        )
        save_bundle(
            repository / name / "1",
            vae=instance.vae,
            config=config,
            evaluation=evaluation,
            card="",
            pictures={},
            parity_inputs=instance.draw(8).float(),
        )
    return repository


@pytest.mark.parametrize("name", list(oracle.INSTANCES))
async def test_the_oracle_through_bundle_and_http_agrees_with_the_exact_values(
    name: str, oracles: Path
):
    exact = oracle.instance(name)
    x = ((exact.draw(30).clamp(0, 1) * 255).round() / 255).float()
    async with client_of(oracles) as client:
        elbos = await client.post(
            f"/v1/models/{name}/elbo?num_samples=1000&seed=2", **npy(x.numpy())
        )
        bounds = await client.post(
            f"/v1/models/{name}/log-likelihood?num_samples=1000&seed=2", **npy(x.numpy())
        )
    log_px, misses = exact.log_px(x).numpy(), 0
    for result, elbo, kl in zip(
        elbos.json()["results"], exact.elbo(x).tolist(), exact.kl(x).tolist(), strict=True
    ):
        assert result["kl_nats"] == pytest.approx(kl, rel=1e-5)
        assert abs(result["elbo_nats"] - elbo) < 4.5 * result["standard_error_nats"] + 1e-4
    results = bounds.json()["results"]
    assert len(results) == 30
    estimates = np.array([result["estimate_nats"] for result in results])
    for result, want in zip(results, log_px, strict=True):
        assert result["num_samples"] == 1000
        assert result["lower_bound_95_nats"] < want + 1e-4
        if result["weights_look_regular"]:
            low, high = result["log_px_interval_nats"]
            misses += not low - 1e-4 <= want <= high + 1e-4
    if name == "hard":
        assert not any(result["weights_look_regular"] for result in results)
        assert (estimates - log_px).mean() < 0
        assert (estimates - exact.elbo(x).numpy()).mean() > 0
    else:
        assert all(result["weights_look_regular"] for result in results)
        assert misses <= 5  # of 30 at 95 %: more has a probability below 0.003


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 2])
async def test_an_items_answer_is_bitwise_the_same_among_up_to_200_neighbours(
    name: str, threads: int, alone: Path
):
    bundle = load_bundle(Repository(PRETRAINED).path_of(name))
    shape = bundle.config.image.shape
    pictures = np.random.default_rng(0).integers(0, 2, (200, *shape)).astype(np.uint8) * 255
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        async with client_of(alone) as client:
            for operation in ("encode?num_samples=2&seed=5", "elbo?num_samples=7&seed=5",
                              "log-likelihood?num_samples=9&seed=5",
                              "reconstruct?encoding=float&seed=5"):  # fmt: skip
                by_itself = await first(client, name, operation, pictures[:1])
                for count in (2, 15, 16, 17, 33, 200):
                    among = await first(client, name, operation, pictures[:count])
                    assert among == by_itself, (operation, count)
    finally:
        torch.set_num_threads(before)


async def first(
    client: httpx.AsyncClient, name: str, operation: str, pictures: np.ndarray
) -> dict[str, object]:
    """What the service says of the first picture."""
    answer = await client.post(f"/v1/models/{name}/{operation}", **npy(pictures))
    assert answer.status_code == 200, answer.text
    fields = answer.json()
    per_item = [key for key, value in fields.items() if isinstance(value, list)]
    return {key: fields[key][0] for key in per_item if fields[key]}


@pytest.mark.parametrize("name", NAMES)
async def test_sixteen_samples_are_the_first_of_sixty_four_and_belong_to_their_seed(
    name: str, alone: Path
):
    async with client_of(alone) as client:

        async def sample(query: str) -> httpx.Response:
            url = f"/v1/models/{name}/sample?format=npy&{query}"
            answer = await client.get(url)
            assert answer.status_code == 200
            return answer

        few, again = [(await sample("n=16&seed=1")).content for _ in range(2)]
        many = np.load(io.BytesIO((await sample("n=64&seed=1")).content))
        other = np.load(io.BytesIO((await sample("n=16&seed=2")).content))
    assert few == again
    assert np.array_equal(np.load(io.BytesIO(few)), many[:16])
    assert not np.array_equal(other, many[:16])
