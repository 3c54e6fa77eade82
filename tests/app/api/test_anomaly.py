"""Anomaly scores over HTTP: as computed by hand, with alarms as rare as asked for, and maps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.settings import Settings
from models.bundle.loading import load_bundle
from models.estimators.anomaly import measure
from models.estimators.typicality import KINDS, Typical, score
from models.images.levels import binarize_by_content, to_observations
from models.images.spec import ImageSpec
from tests.app.api.calls import PICTURES, body_of, call
from tests.app.conftest import ClientFactory, client_of
from tests.app.pictures import read_npy, read_npz, read_picture
from tests.app.refusals import refused
from tests.app.repository import SIDE, binary_vae, write_bundle

pytestmark = pytest.mark.anyio


async def test_scores_are_those_of_the_estimators(open_client: ClientFactory, repository) -> None:
    async with open_client() as client:
        answer = (await call(client, "anomaly", params={"seed": 7, "first_item": 2})).json()
    bundle = load_bundle(repository / "mnist" / str(answer["version"]))
    levels = binarize_by_content(PICTURES[:, None], 255)
    x = torch.from_numpy(to_observations(levels, bundle.config.image))
    typical = Typical.of(bundle.good_pictures)
    measured = measure(bundle.vae, x, levels=2, seed=7, first_item=2)
    scores = score(measured, typical.centres)
    ranked = typical.rank(scores)
    assert (answer["alpha"], answer["reference_n"]) == (0.01, 100)
    assert answer["smallest_p_value"] == 1 / 101
    for item, result in enumerate(answer["results"]):
        assert result["p_value"] == ranked.p_value[item]
        assert result["is_anomalous"] == (result["p_value"] <= 0.01)
        assert result["decided_by"] == ranked.decided_by[item]
        assert result["likelihood_regret"] is result["layers_ratio"] is None
        for kind in KINDS:
            assert result[kind] == pytest.approx(scores[kind][item], rel=1e-12)
            assert result[f"{kind}_p_value"] == ranked.p_values[kind][item]


async def test_an_image_is_answered_as_alone(open_client: ClientFactory) -> None:
    async with open_client() as client:
        both = (await call(client, "anomaly", params={"seed": 7})).json()["results"]
        one = await client.post(
            "/v1/anomaly",
            params={"seed": 7, "first_item": 1},
            json={"images": [(PICTURES[1] / 255).tolist()]},
        )
    assert one.json()["results"] == [both[1]]


@pytest.mark.parametrize("alpha", [0.0099, 1e-6])
async def test_a_rate_that_references_cannot_give_is_refused(
    open_client: ClientFactory, alpha: float
) -> None:
    async with open_client() as client:
        response = await client.post("/v1/anomaly", params={"alpha": alpha}, **body_of("anomaly"))
        problem = refused(response, 422, "invalid-parameter")
        assert problem["parameter"] == "alpha"
        assert "among 100 held-out good pictures" in problem["detail"]
        again = await call(client, "anomaly", params={"alpha": problem["suggestion"]})
        assert again.status_code == 200
        assert again.json()["alpha"] == problem["suggestion"]


async def test_a_threshold_is_refused(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post(
            "/v1/anomaly", params={"binarize": "threshold"}, **body_of("anomaly")
        )
    assert "Leave binarize out" in refused(response, 422, "invalid-parameter")["detail"]


async def test_maps_show_where_the_reconstruction_fails(open_client: ClientFactory) -> None:
    async with open_client() as client:
        rows = await call(
            client, "anomaly", params={"map": "error", "encoding": "float", "seed": 1}
        )
        arrays = await call(client, "anomaly", params={"map": "overlay", "format": "npz"})
        plain = await call(client, "anomaly", params={"format": "npz"})
        sheet = await call(client, "anomaly", params={"format": "png"})
        numbers = await call(client, "anomaly", params={"format": "npy", "seed": 1})
    for result in rows.json()["results"]:
        error = np.asarray(result["map"])
        assert error.shape == (1, SIDE, SIDE)
        assert (error**2).mean() == pytest.approx(result["reconstruction_error"], rel=1e-5)
    overlay = read_npz(arrays.content)["map"]
    assert overlay.shape == (2, 3, SIDE, SIDE)
    assert (overlay[:, 0] >= overlay[:, 1]).all()
    assert (overlay[:, 1] == overlay[:, 2]).all()
    assert "map" not in read_npz(plain.content)
    assert read_picture(sheet.content).shape[-1] == 3
    assert read_npy(numbers.content).tolist() == [
        result["p_value"] for result in rows.json()["results"]
    ]


async def test_the_regret_is_a_score_where_good_pictures_have_it(tmp_path: Path) -> None:
    binary = ImageSpec(channels=1, height=SIDE, width=SIDE, levels=2, binarization="stochastic")
    write_bundle(tmp_path, "mnist", 1, binary_vae(1), binary, with_regret=True)
    async with client_of(Settings(model_repository=tmp_path)) as client:
        asked = {"seed": 3, "alpha": 0.2}
        found = (await call(client, "anomaly", params=asked)).json()["results"]
        refined = (
            await call(
                client, "elbo", params={"seed": 3, "inference": "refined", "num_samples": 16}
            )
        ).json()["results"]
    for result, score_of in zip(found, refined, strict=True):
        gap = score_of["amortisation_gap_nats"]
        assert result["likelihood_regret"] == pytest.approx(gap, rel=1e-9)
        assert 1 / 21 <= result["likelihood_regret_p_value"] <= 1
        assert result["layers_ratio"] is result["layers_ratio_p_value"] is None
