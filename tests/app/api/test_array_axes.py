"""Arrays whose axes are in doubt, over HTTP: never scored as something else."""

import json
from typing import Any

import numpy as np
import pytest

from tests.app.api.calls import call
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, NPZ, binary, encoded, npy, npz
from tests.app.repository import LATENTS

pytestmark = pytest.mark.anyio

ROWS = binary(50).reshape(50, 64)


def bodies(array: np.ndarray) -> dict[str, dict[str, Any]]:
    return {
        "npy": {"content": npy(array), "headers": NPY},
        "untyped": {"content": npy(array)},
        "npz": {"content": npz(images=array), "headers": NPZ},
        "npz of another name": {"content": npz(X=array), "headers": NPZ},
        "form": {"files": [("images", ("x.npy", npy(array), "application/x-npy"))]},
        "json": {"json": {"images": [array.tolist()]}},
    }


@pytest.mark.parametrize("form", bodies(ROWS))
@pytest.mark.parametrize("operation", ["encode", "reconstruct", "elbo", "log-likelihood"])
async def test_flat_pictures_are_refused_with_the_reshape(
    open_client: ClientFactory, operation: str, form: str
) -> None:
    async with open_client() as client:
        response = await client.post(f"/v1/{operation}", **bodies(ROWS)[form])
    problem = response.json()
    assert response.status_code == 422
    assert problem["type"].endswith("shape-mismatch")
    assert problem["parameter"] == "images"
    assert problem["suggestion"] == "array.reshape(-1, 1, 8, 8)"
    assert "(50, 64), which may be 50 flat pictures of 64 numbers" in problem["detail"]


async def test_what_is_suggested_is_answered_as_the_pictures_are(
    open_client: ClientFactory,
) -> None:
    pictures = binary(50)
    async with open_client() as client:
        right = await call(client, "encode", content=npy(pictures), headers=NPY)
        mended = await call(client, "encode", content=npy(ROWS.reshape(-1, 1, 8, 8)), headers=NPY)
        one = await call(client, "encode", content=npy(ROWS[None, None]), headers=NPY)
    assert mended.json()["mean"] == right.json()["mean"]
    assert len(one.json()["mean"]) == 1


async def test_one_flat_picture_in_json_is_refused_and_its_reshape_read(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        flat = await client.post("/v1/encode", json={"images": ROWS.tolist()})
        square = await call(client, "encode", json={"images": [ROWS[:1].reshape(8, 8).tolist()]})
        as_suggested = ROWS[0].reshape(-1, 1, 8, 8).tolist()
        mended = await call(client, "encode", json={"images": [as_suggested]})
    assert flat.status_code == 422
    assert flat.json()["suggestion"] == "array.reshape(-1, 1, 8, 8)"
    assert mended.json()["mean"] == square.json()["mean"]


async def test_a_batch_as_one_entry_of_json_is_refused(open_client: ClientFactory) -> None:
    batch = binary(3)[:, None].tolist()
    async with open_client() as client:
        response = await client.post("/v1/encode", json={"images": [batch]})
    assert response.status_code == 422
    assert response.json()["detail"] == (
        "images[0] is an array of shape (3, 1, 8, 8), and each entry is one picture. Send "
        '{"images": array.tolist()}.'
    )


@pytest.mark.parametrize(
    ("array", "suggestion"),
    [
        (binary(50).transpose(1, 2, 0), "array.transpose(2, 0, 1)[:, None]"),
        (binary(50).reshape(50, 64).T, "array.T.reshape(-1, 1, 8, 8)"),
        (binary(50).reshape(50, 64, 1), "array.reshape(-1, 1, 8, 8)"),
        (binary(50).reshape(50, 1, 64), "array.reshape(-1, 1, 8, 8)"),
        (binary(50).reshape(50, 64) / 255 * 16, "array.reshape(-1, 1, 8, 8) / 16"),
        (np.zeros((60, 40, 4), np.uint8), "array[..., :3]"),
    ],
)
async def test_other_orders_are_refused(
    open_client: ClientFactory, array: np.ndarray, suggestion: str
) -> None:
    async with open_client() as client:
        response = await client.post("/v1/elbo", content=npy(array), headers=NPY)
    assert response.status_code == 422
    assert response.json()["suggestion"] == suggestion


async def test_interpolate_names_the_order_of_latents(open_client: ClientFactory) -> None:
    async with open_client() as client:
        answers = [
            await client.post("/v1/interpolate", content=npy(np.zeros(shape)), headers=NPY)
            for shape in ((2, LATENTS, 1), (LATENTS, 2))
        ]
    assert [one.json()["suggestion"] for one in answers] == [
        f"latents.reshape(-1, {LATENTS})",
        "numpy.moveaxis(latents, -1, 0)",
    ]


async def test_interpolate_names_the_reshape_of_flat_pictures(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/interpolate", content=npy(ROWS[:2]), headers=NPY)
    assert response.json()["suggestion"] == "array.reshape(-1, 1, 8, 8)"


@pytest.mark.parametrize("operation", ["encode", "elbo"])
async def test_a_pgm_is_answered_as_the_png_of_the_same_pixels(
    open_client: ClientFactory, operation: str
) -> None:
    picture = binary(1)[0]
    pgm = encoded(picture, "PPM")
    assert pgm.startswith(b"P5")
    async with open_client() as client:
        png = await call(client, operation, content=encoded(picture), params={"seed": 1})
        answers = [
            await call(client, operation, content=pgm, params={"seed": 1}, headers=headers)
            for headers in (
                {},
                {"Content-Type": "image/x-portable-graymap"},
                {"Content-Type": "application/octet-stream"},
                {"Content-Type": "image/*"},
            )
        ]
    assert [answer.json() for answer in answers] == [png.json()] * 4


async def test_a_text_file_in_a_form_is_no_picture(open_client: ClientFactory) -> None:
    files = [("images", ("notes.txt", b"Milk\n", "application/octet-stream"))]
    async with open_client() as client:
        response = await client.post("/v1/encode", files=files)
    assert response.status_code == 415
    assert "text that begins with 'Milk', and no picture" in json.dumps(response.json()["detail"])
    assert "Convert" not in response.text
