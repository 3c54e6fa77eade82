"""The pages of the models: the list, broken bundles, and the description of one model."""

from pathlib import Path

import numpy as np
import pytest

from app.api.model_descriptions import ModelDescription, ModelList
from app.operations.table import OPERATIONS
from models.images.spec import ImageSpec
from tests.app.conftest import ClientFactory
from tests.app.repository import REFERENCES, binary_vae, make_repository, write_bundle

pytestmark = pytest.mark.anyio


async def test_models_are_listed_by_version_with_the_default(open_client: ClientFactory) -> None:
    async with open_client() as client:
        listed = ModelList.model_validate_json((await client.get("/v1/models")).content)
    entries = [(m.name, m.version, m.default, m.status) for m in listed.models]
    assert entries == [
        ("colour", 1, False, "ready"),
        ("mnist", 1, False, "ready"),
        ("mnist", 2, True, "ready"),
        ("mnist-labelled", 1, False, "ready"),
        ("oracle", 1, False, "ready"),
    ]


async def test_a_model_says_what_it_is_and_can_do(open_client: ClientFactory) -> None:
    async with open_client() as client:
        newest = await client.get("/v1/models/mnist")
        oldest = await client.get("/v1/models/mnist/versions/1")
        oracle = await client.get("/v1/models/oracle")
    described = ModelDescription.model_validate_json(newest.content)
    assert (described.version, described.versions) == (2, [1, 2])
    assert described.image_shape == [1, 8, 8]
    assert described.latent_shape == [4]
    assert described.is_mass is True
    offered = {operation.name for operation in described.operations}
    assert offered == set(OPERATIONS) - {"classify"}
    assert described.lacks["classes"] == "it was trained without labels"
    assert set(described.capabilities).isdisjoint(described.lacks)
    assert described.evaluation["references"][0] == {
        "estimator": "elbo",
        "num_samples": 100,
        "n": 99,
    }
    # REFERENCES are 99 evenly spaced values: so are their quantiles, ends included.
    evenly = pytest.approx(np.linspace(REFERENCES[0], REFERENCES[-1], 101), abs=1e-4)
    assert described.references == {"elbo_nats": evenly, "iwae_200_nats": evenly}
    assert oracle.json()["references"] == {"elbo_nats": None}
    assert oldest.json()["version"] == 1
    decode = next(op for op in oracle.json()["operations"] if op["name"] == "decode")
    assert decode["unavailable_options"] == ["output=logits", "label=*"]
    assert decode["path"] == "/v1/models/oracle/versions/1/decode"


async def test_a_broken_bundle_is_reported_and_the_rest_serve(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    (tmp_path / "mnist" / "2" / "model.safetensors").write_bytes(b"broken")
    async with open_client(model_repository=tmp_path) as client:
        listed = (await client.get("/v1/models")).json()["models"]
        answer = await client.get("/v1/sample?format=json")
        metrics = (await client.get("/metrics")).text
        assert (await client.get("/readyz")).status_code == 200
    (broken,) = [entry for entry in listed if entry["status"] == "broken"]
    assert (broken["name"], broken["version"]) == ("mnist", 2)
    assert "<repository>/mnist/2" in broken["reason"]
    assert str(tmp_path) not in broken["reason"]
    assert answer.json()["version"] == 1
    assert 'vae_bundles{status="broken"} 1.0' in metrics


async def test_a_version_in_the_wrong_folder_is_broken(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    image = ImageSpec(channels=1, height=8, width=8, levels=2, binarization="stochastic")
    write_bundle(tmp_path, "a", 1, binary_vae(), image)
    (tmp_path / "a" / "1").rename(tmp_path / "a" / "7")
    async with open_client(model_repository=tmp_path) as client:
        (entry,) = (await client.get("/v1/models")).json()["models"]
    assert entry["status"] == "broken"
