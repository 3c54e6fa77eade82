"""Answers over HTTP: every format of every operation, and what the formats agree on."""

import base64
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.operations.table import OPERATIONS
from app.wire.media_types import MEDIA_TYPES
from tests.app.api.calls import body_of, call
from tests.app.conftest import ClientFactory
from tests.app.pictures import (
    read_npy,
    read_npz,
    read_picture,
)
from tests.app.repository import LATENTS, SIDE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("by", ["format", "accept"])
@pytest.mark.parametrize(
    ("operation", "form"),
    [(name, form) for name, operation in OPERATIONS.items() for form in operation.formats],
)
async def test_every_operation_answers_in_every_form_it_offers(
    open_client: ClientFactory, operation: str, form: str, by: str
) -> None:
    asked: dict[str, Any] = {"params": {"format": form}}
    if by == "accept":
        asked = {"headers": {"Accept": MEDIA_TYPES[form]}}
    async with open_client() as client:
        response = await call(client, operation, **asked)
    assert response.headers["content-type"] == MEDIA_TYPES[form]
    model = ("mnist-labelled", "1") if operation == "classify" else ("mnist", "2")
    assert (response.headers["x-model-name"], response.headers["x-model-version"]) == model
    assert len(response.headers["x-bundle-digest"]) == 64
    assert response.headers["x-request-id"]
    assert "total;dur=" in response.headers["server-timing"]
    assert response.headers["vary"] == "Accept"
    draws = operation in ("sample", "elbo", "log-likelihood", "anomaly")
    assert ("x-seed" in response.headers) == draws
    takes_images = "images" in OPERATIONS[operation].takes
    assert ("x-preprocessing" in response.headers) == takes_images


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "interpolate"])
async def test_json_answers_are_what_the_schema_says(
    open_client: ClientFactory, operation: str
) -> None:
    async with open_client() as client:
        for model in ("mnist-labelled",) if operation == "classify" else ("mnist", "oracle"):
            if operation == "decode" and model == "oracle":
                continue
            response = await client.request(
                OPERATIONS[operation].method,
                f"/v1/models/{model}/{operation}",
                params={"format": "json"},
                **({} if operation == "sample" else body_of(operation)),
            )
            OPERATIONS[operation].answer.model_validate_json(response.content)


async def test_npz_holds_every_json_field_by_its_name(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for operation in OPERATIONS.values():
            params = {"seed": 1} if "seed" in operation.parameters.model_fields else {}
            as_json = (
                await call(client, operation.name, params={**params, "format": "json"})
            ).json()
            arrays = read_npz(
                (await call(client, operation.name, params={**params, "format": "npz"})).content
            )
            fields = dict(as_json)
            fields.pop("preprocessing_steps", None)  # `preprocessing` says the same
            if operation.per_item:
                rows = fields.pop("results")
                fields |= {name: [row[name] for row in rows] for name in rows[0]}
            assert arrays.keys() == fields.keys()
            for name, value in fields.items():
                if name not in ("images", "preprocessing") and None not in np.ravel(value):
                    np.testing.assert_array_equal(
                        arrays[name], np.asarray(value, arrays[name].dtype)
                    )


async def test_the_same_seed_gives_the_same_image_in_json_png_and_npy(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:

        async def sample(**params: Any) -> httpx.Response:
            return await call(client, "sample", params={"seed": 5, "n": 1, **params})

        png = read_picture((await sample(format="png")).content)
        unit = read_npy((await sample(format="npy")).content)
        uint8 = read_npy((await sample(format="npy", dtype="uint8")).content)
        as_json = (await sample(format="json")).json()
        numbers = (await sample(format="json", encoding="float")).json()
    assert np.array_equal(png, np.floor(unit[0, 0].astype(np.float64) * 255 + 0.5))
    assert np.array_equal(png, uint8[0, 0])
    assert np.array_equal(png, read_picture(base64.b64decode(as_json["images"][0])))
    assert np.array_equal(unit, np.asarray(numbers["images"], np.float32))


async def test_several_images_make_a_grid_of_the_columns_asked_for(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        square = read_picture((await call(client, "sample", params={"n": 4})).content)
        row = read_picture((await call(client, "sample", params={"n": 4, "columns": 4})).content)
    assert square.shape == (2 * SIDE + 6, 2 * SIDE + 6)
    assert row.shape == (SIDE + 4, 4 * SIDE + 10)


async def test_an_interpolation_moves_there_and_back(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for form in ("webp", "gif"):
            response = await call(client, "interpolate", params={"steps": 5, "format": form})
            picture = Image.open(BytesIO(response.content))
            assert getattr(picture, "n_frames", 1) == 8


async def test_a_large_answer_is_rendered_off_the_event_loop(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(client, "sample", params={"n": 300, "seed": 1, "format": "npy"})
    assert read_npy(response.content).shape == (300, 1, SIDE, SIDE)


async def test_zero_temperature_gives_the_image_of_the_priors_mean(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        cold = await call(client, "sample", params={"temperature": 0, "n": 2, "format": "json"})
        mean = await call(client, "decode", json={"latents": [[0.0] * LATENTS]})
    assert cold.json()["images"] == mean.json()["images"] * 2
    assert cold.json()["is_model_sample"] is False
    assert cold.json()["output"] == "mean"


async def test_temperature_scales_latents_about_the_origin(open_client: ClientFactory) -> None:
    async with open_client() as client:
        one = await call(client, "sample", params={"seed": 1, "format": "json"})
        half = await call(
            client, "sample", params={"seed": 1, "temperature": 0.5, "format": "json"}
        )
    np.testing.assert_allclose(
        np.asarray(half.json()["latents"]), np.asarray(one.json()["latents"]) / 2, rtol=1e-6
    )
    assert one.json()["is_model_sample"] is True


async def test_a_draw_from_the_likelihood_is_in_its_support(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(
            client, "decode", params={"output": "sample", "format": "npy", "seed": 1}
        )
        colour = await client.get("/v1/models/colour/sample?output=sample&format=npy&dtype=uint8")
    assert set(np.unique(read_npy(response.content))) <= {0.0, 1.0}
    assert response.headers["x-seed"] == "1"
    assert read_npy(colour.content).shape == (16, 3, 6, 5)


async def test_interpolation_begins_and_ends_at_the_posterior_means(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        means = (await call(client, "encode")).json()["mean"]
        for path in ("linear", "spherical"):
            answer = (await call(client, "interpolate", params={"path": path, "steps": 5})).json()
            assert [answer["latents"][0], answer["latents"][-1]] == means
            assert len(answer["images"]) == answer["steps"] == 5
            assert answer["path"] == path
