"""Every operation of every family over HTTP: what it offers, its layers, components, rows."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.model_descriptions import ModelDescription
from app.operations.table import OPERATIONS
from tests.app.families.family_calls import PICTURES, SCORES, answer, ask, fewer_draws, vae_of
from tests.app.family_repository import LABELLED, LABELS, PPCA
from tests.app.pictures import read_npz
from tests.app.refusals import refused
from tests.models.family_cases import FAMILIES, family

pytestmark = pytest.mark.anyio

NAMES = [*FAMILIES, PPCA]

# What each family offers -----------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_family_answers_exactly_what_it_offers_and_says_why_not_the_rest(
    client: httpx.AsyncClient, name: str, operation: str
) -> None:
    described = ModelDescription.model_validate_json(
        (await client.get(f"/v1/models/{name}")).content
    )
    label = {"label": "bee"} if name in LABELLED and operation in ("decode", "interpolate") else {}
    params = {"seed": 1, **label, **fewer_draws(operation)}
    if operation == "interpolate":
        del params["seed"]
    response = await ask(client, name, operation, format="json", **params)
    if operation not in [offered.name for offered in described.operations]:
        missing = [need for need in OPERATIONS[operation].needs if need in described.lacks]
        detail = refused(response, 409, "unsupported-operation")["detail"]
        assert missing
        assert all(described.lacks[need] in detail for need in missing)
        return
    assert response.status_code == 200, response.text
    OPERATIONS[operation].answer.model_validate_json(response.content)
    fields = response.json()
    fields.pop("preprocessing_steps", None)  # `preprocessing` says the same
    assert ("label_used" in fields) == (name in LABELLED)
    assert ("seed" in fields) == ("x-seed" in response.headers)
    for form in set(OPERATIONS[operation].formats) - {"json"}:
        other = await ask(client, name, operation, format=form, **params)
        assert other.status_code == 200, other.text
        if form == "npz":
            arrays = read_npz(other.content)
            fields.pop("preprocessing_steps", None)  # `preprocessing` says the same
            rows = fields.pop("results", None)
            fields |= {} if rows is None else {key: None for key in rows[0]}
            nulls = {"std", "kl_nats"} & {key for key, value in fields.items() if value is None}
            assert arrays.keys() == fields.keys() - (nulls if rows is None else set())


@pytest.mark.parametrize(
    ("name", "operation", "params", "reason"),
    [
        ("autoencoder", "elbo", {}, "cannot estimate the ELBO: it is an autoencoder, which has no"),
        ("autoencoder", "log-likelihood", {}, "cannot estimate the log-likelihood: it is an auto"),
        (
            "autoencoder",
            "sample",
            {},
            "cannot sample: it is an autoencoder, which has no",
        ),
        ("autoencoder", "anomaly", {}, "cannot look for anomalies: it is an autoencoder"),
        (
            "autoencoder",
            "decode",
            {"output": "sample"},
            "cannot decode with output=sample: it is an",
        ),
        (
            "autoencoder",
            "reconstruct",
            {"output": "sample"},
            "it is an autoencoder, which has no likelihood",
        ),
        ("autoencoder", "encode", {"num_samples": 3}, "cannot encode with num_samples=3: it is an"),
        (
            "autoencoder",
            "decode",
            {"output": "logits"},
            "cannot decode with output=logits: it is an",
        ),
        ("categorical", "encode", {}, "it is a mixture, whose components `classify` weighs"),
        ("categorical", "reconstruct", {}, "it is a mixture, whose components `classify` weighs"),
        ("categorical", "interpolate", {}, "it is a mixture, whose components `classify` weighs"),
        ("standard", "classify", {}, "it was trained without labels"),
        ("standard", "encode", {"label": "ant"}, "it was trained without labels"),
        ("standard", "log-likelihood", {"estimator": "exact"}, "posterior is an approximation"),
        ("vamp", "interpolate", {"path": "spherical"}, "its prior is of the kind vamp"),
        (PPCA, "decode", {"output": "logits"}, "its likelihood is of the kind normal"),
    ],
)
async def test_a_refusal_says_what_is_missing_and_why(
    client: httpx.AsyncClient, name: str, operation: str, params: dict[str, Any], reason: str
) -> None:
    response = await ask(client, name, operation, **params)
    assert reason in refused(response, 409, "unsupported-operation")["detail"]


async def test_a_description_has_labels_layers_and_abilities(client: httpx.AsyncClient) -> None:
    labelled = (await client.get("/v1/models/m2")).json()
    layered = (await client.get("/v1/models/conv-ladder")).json()
    point = (await client.get("/v1/models/autoencoder")).json()
    assert labelled["labels"] == list(LABELS)
    assert labelled["label_probabilities"] == pytest.approx([1 / 3] * 3)
    assert {"labels", "classes", "label_posterior"} <= set(labelled["capabilities"])
    assert layered["latent_groups"] == [
        {"name": "z1", "start": 0, "stop": 8, "shape": [2, 2, 2]},
        {"name": "z2", "start": 8, "stop": 10, "shape": [2]},
    ]
    assert layered["label_probabilities"] == layered["labels"] == []
    assert set(point["capabilities"]) == {"encoder", "decoder"}
    assert [offered["name"] for offered in point["operations"]] == [
        "encode",
        "decode",
        "reconstruct",
        "interpolate",
    ]


# Layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two-layers", "ladder", "conv-ladder", "labelled-ladder"])
async def test_layers_are_slices_and_the_mean_is_ancestral(
    client: httpx.AsyncClient, families: Path, name: str
) -> None:
    encoded = await answer(client, name, "encode", num_samples=2, seed=1)
    scored = await answer(client, name, "elbo", num_samples=40, seed=1)
    sizes = [int(np.prod(shape)) for shape in family(name).latent_groups]
    assert [group["stop"] - group["start"] for group in encoded["groups"]] == sizes
    assert encoded["mean_kind"] == "ancestral"
    assert encoded["kl_nats"] is None
    assert np.shape(encoded["samples"]) == (2, 2, sum(sizes))
    for result in scored["results"]:
        parts = sum(result["kl_per_group_nats"]) + (result["label_kl_nats"] or 0)
        assert len(result["kl_per_group_nats"]) == len(sizes)
        assert result["kl_nats"] == pytest.approx(parts, rel=1e-6)
        assert result["kl_method"] == "monte_carlo"


async def test_an_autoencoders_latent_has_no_spread(client: httpx.AsyncClient) -> None:
    encoded = await answer(client, "autoencoder", "encode")
    assert encoded["std"] is None
    assert encoded["kl_nats"] is None
    assert encoded["mean_kind"] == "posterior"
    assert "groups" not in encoded


# Mixtures --------------------------------------------------------------------------------------


async def test_a_mixture_decodes_unit_vectors_alone(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/models/categorical/decode", json={"latents": [[1.0, 0.0], [0.5, 0.5]]}
    )
    problem = refused(response, 422, "out-of-support")
    assert problem["items"] == [{"index": 1, "reason": "no unit vector"}]


async def test_zero_temperature_still_chooses_a_component(
    client: httpx.AsyncClient, families: Path
) -> None:
    drawn = await answer(client, "mixture", "sample", n=30, seed=1, temperature=0)
    places: Any = vae_of(families, "mixture").prior()
    distances = np.abs(np.array(drawn["latents"])[:, None] - places.components.loc.numpy())
    nearest = distances.sum(-1)
    assert np.all(nearest.min(1) < 1e-6)
    assert len(set(nearest.argmin(1).tolist())) == 3
    assert drawn["is_model_sample"] is False


# Rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LABELLED, "two-layers", "conv-ladder", "categorical", PPCA])
async def test_an_items_answer_is_bitwise_the_same_among_any_number_of_neighbours(
    client: httpx.AsyncClient, name: str
) -> None:
    offered = [
        operation["name"]
        for operation in (await client.get(f"/v1/models/{name}")).json()["operations"]
    ]
    for operation in {"encode", "reconstruct", *SCORES} & set(offered):
        params: dict[str, Any] = {"seed": 7, "format": "npz", **fewer_draws(operation)}
        answers = [
            read_npz((await ask(client, name, operation, PICTURES[:n], **params)).content)
            for n in (1, 2, 17, 70)
        ]
        for field, first in answers[0].items():
            if first.ndim and field not in OPERATIONS[operation].shared:
                same = {many[field][0].tobytes() for many in answers}
                assert len(same) == 1, (operation, field)


async def test_only_a_model_with_good_pictures_has_a_drift(client: Any) -> None:
    described = {
        name: (await client.get(f"/v1/models/{name}")).json()
        for name in ("standard", "autoencoder")
    }
    assert described["standard"]["drift"]["windows"] == 0
    assert described["autoencoder"]["drift"] is None
