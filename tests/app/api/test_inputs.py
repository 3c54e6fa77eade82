"""Request bodies over HTTP: every form of the same pictures and latents, and parameters in them."""

import pytest

from app.operations.table import OPERATIONS
from tests.app.api.calls import (
    LATENT_ROWS,
    PICTURES,
    body_of,
    call,
    image_bodies,
    latent_bodies,
)
from tests.app.conftest import ClientFactory
from tests.app.pictures import JSON, NPY, PNG, binary, encoded, npy

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("operation", ["encode", "reconstruct", "interpolate", "elbo"])
async def test_all_forms_of_the_same_pictures_get_the_same_answer(
    open_client: ClientFactory, operation: str
) -> None:
    params = {} if operation == "interpolate" else {"seed": 1}
    async with open_client() as client:
        answers = {}
        for name, body in image_bodies(PICTURES).items():
            response = await call(client, operation, params=params, **body)
            answers[name] = {
                key: value
                for key, value in response.json().items()
                if not key.startswith("preprocessing")
            }
    assert all(answer == answers["base64"] for answer in answers.values())


async def test_all_forms_of_the_same_latents_get_the_same_answer(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        for operation in ("decode", "interpolate"):
            answers = [
                (await call(client, operation, **body)).json()
                for body in latent_bodies(LATENT_ROWS).values()
            ]
            assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_raw_picture_of_any_lossless_type_is_read(
    open_client: ClientFactory, form: str
) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(PICTURES[0], form, **options)
    headers = {"Content-Type": f"image/{form.lower()}"}
    async with open_client() as client:
        raw = await call(client, "encode", content=data, headers=headers)
        png = await call(client, "encode", content=encoded(PICTURES[0]), headers=PNG)
    assert raw.json()["mean"] == png.json()["mean"]


async def test_a_jpeg_is_read(open_client: ClientFactory) -> None:
    data = encoded(PICTURES[0], "JPEG", quality=95)
    async with open_client() as client:
        response = await call(
            client, "encode", content=data, headers={"Content-Type": "image/jpeg"}
        )
    assert len(response.json()["mean"]) == 1


async def test_a_large_body_is_read_off_the_event_loop_and_gets_the_same_answer(
    open_client: ClientFactory,
) -> None:
    pictures = binary(200)
    async with open_client() as client:
        as_text = await call(client, "encode", json={"images": (pictures / 255).tolist()})
        as_array = await call(client, "encode", content=npy(pictures / 255), headers=NPY)
    assert as_text.json() == as_array.json()


async def test_parameters_come_from_query_body_and_form_alike(open_client: ClientFactory) -> None:
    images = PICTURES.tolist()
    files = [("images", ("0.npy", npy(PICTURES), "application/x-npy"))]
    async with open_client() as client:
        answers = [
            await call(client, "encode", params={"num_samples": 2, "seed": 3}),
            await call(client, "encode", json={"images": images, "num_samples": 2, "seed": 3}),
            await call(client, "encode", files=files, data={"num_samples": "2", "seed": "3"}),
            await call(
                client,
                "encode",
                params={"seed": 3, "num_samples": "2"},
                json={"images": images, "num_samples": 2},
            ),
        ]
    assert len({answer.text for answer in answers}) == 1


async def test_reading_parameters_change_what_the_model_sees(open_client: ClientFactory) -> None:
    async with open_client() as client:
        inverted = await call(client, "encode", params={"invert": "true"})
        by_hand = await call(client, "encode", json={"images": (255 - PICTURES).tolist()})
        scaled = await call(
            client, "encode", params={"pixel_max": 1}, json={"images": (PICTURES // 255).tolist()}
        )
        plain = await call(client, "encode")
        threshold = await call(client, "encode", params={"binarize": "threshold"})
    assert inverted.json()["mean"] == by_hand.json()["mean"]
    assert scaled.json()["mean"] == plain.json()["mean"]
    assert "invert" in inverted.json()["preprocessing"][0]
    assert threshold.json()["preprocessing"] != plain.json()["preprocessing"]


async def test_json_bodies_are_told_apart_from_their_parameters(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/encode", content=b'{"seed": 1}', headers=JSON)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The body holds no images. Send {")


async def test_steps_of_preprocessing_come_in_words_and_as_objects(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        answer = (await call(client, "encode", params={"binarize": "threshold"})).json()
        drawn = (await call(client, "sample", params={"format": "json"})).json()
    binarized = {"op": "binarize", "from": "256", "to": "2", "how": "threshold"}
    assert answer["preprocessing"] == [["binarize threshold"]] * len(PICTURES)
    assert answer["preprocessing_steps"] == [[binarized]] * len(PICTURES)
    assert "preprocessing_steps" not in drawn


@pytest.mark.parametrize("model", ["mnist", "mnist-labelled"])
async def test_null_leaves_out_any_parameter_of_any_operation(
    open_client: ClientFactory, model: str
) -> None:
    async with open_client() as client:
        for operation in OPERATIONS.values():
            if not operation.takes or (operation.name == "classify" and model == "mnist"):
                continue
            for name in operation.parameters.model_fields:
                body = body_of(operation.name)["json"]
                if operation.name == "decode" and model == "mnist-labelled" and name != "label":
                    body = {**body, "label": "0"}
                if "num_samples" in operation.parameters.model_fields:
                    body = {"num_samples": 2, **body}  # the default refines for seconds
                url = f"/v1/models/{model}/{operation.name}"
                response = await client.post(url, json={**body, name: None})
                where = (operation.name, name, response.text)
                if (operation.name, name, model) == ("decode", "label", "mnist-labelled"):
                    assert response.json()["parameter"] == "label", where
                else:
                    assert response.status_code == 200, where


async def test_null_beside_a_value_in_the_query_is_no_conflict(open_client: ClientFactory) -> None:
    async with open_client() as client:
        body = {**body_of("elbo")["json"], "num_samples": None, "seed": None}
        answer = await client.post("/v1/elbo?num_samples=3&seed=1", json=body)
        unknown = await client.post("/v1/elbo", json={**body, "nosuch": None})
    assert answer.json()["results"][0]["num_samples"] == 3
    assert unknown.json()["parameter"] == "nosuch"


@pytest.mark.parametrize("model", ["mnist", "mnist-labelled"])
async def test_the_word_null_in_a_query_is_refused_by_the_parameters_name(
    open_client: ClientFactory, model: str
) -> None:
    """A query has no null; of every parameter of sample, and of every other operation."""
    async with open_client() as client:
        for operation in OPERATIONS.values():
            if operation.name == "classify" and model == "mnist":
                continue
            for name in operation.parameters.model_fields:
                url = f"/v1/models/{model}/{operation.name}?{name}=null"
                body = body_of(operation.name) if operation.takes else {}
                response = await client.request(operation.method, url, **body)
                where = (operation.name, name, response.text)
                assert response.status_code in (409, 422), where
                assert response.json()["parameter"] in (name, "model"), where
