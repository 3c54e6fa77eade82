"""Items that are refused: pictures, arrays and latents that are none, or are not whole."""

import base64
from typing import Any

import numpy as np
import pytest

from app.api.read_items import INLINE_PIXELS, is_small
from app.wire.items import Body, Picture
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, NPZ, PNG, binary, encoded, npy, npz
from tests.app.refusals import refused
from tests.app.repository import LATENTS

pytestmark = pytest.mark.anyio

PICTURE = encoded(binary()[0])


@pytest.mark.parametrize(
    ("images", "status", "slug"),
    [
        ([[[0, 1], [1, 0]]], 422, "invalid-input"),
        ([[[0, 300], [0, 0]]], 422, "out-of-support"),
        ([[[0, -1], [0, 0]]], 422, "out-of-support"),
        ([[[0.0, 1.5], [0, 0]]], 422, "out-of-support"),
        ([[[0, 1], [1]]], 422, "shape-mismatch"),
        ([[["a"]]], 422, "shape-mismatch"),
        ([[[None]]], 422, "shape-mismatch"),
        ([[[{}]]], 422, "shape-mismatch"),
        ([[]], 422, "shape-mismatch"),
        ([[1, 2]], 422, "shape-mismatch"),
        ([[[[[[1]]]]]], 422, "shape-mismatch"),
        ([1], 422, "shape-mismatch"),
        ([None], 422, "shape-mismatch"),
        ([{"url": "http://example.com"}], 422, "shape-mismatch"),
        ([True], 422, "shape-mismatch"),
        (["http://example.com/a.png"], 400, "corrupt-image"),
        (["data:image/png;base64,@@"], 400, "corrupt-image"),
        (["data:image/svg+xml;base64,AAAA"], 415, "unsupported-media"),
        (["AAAA"], 415, "unsupported-media"),
        ([""], 400, "corrupt-image"),
        ([base64.b64encode(PICTURE[:60]).decode()], 400, "corrupt-image"),
        ([], 422, "shape-mismatch"),
        ({}, 422, "shape-mismatch"),
        ("picture", 422, "shape-mismatch"),
        (None, 422, "shape-mismatch"),
    ],
)
async def test_an_image_in_json_that_is_none_is_refused(
    open_client: ClientFactory, images: Any, status: int, slug: str
) -> None:
    async with open_client() as client:
        refused(await client.post("/v1/encode", json={"images": images}), status, slug)


async def test_an_ambiguous_integer_array_names_the_parameter(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/encode", content=npy(binary() // 255), headers=NPY)
    assert "pixel_max" in refused(response, 422, "invalid-input")["detail"]


async def test_the_items_at_fault_are_named_and_none_is_answered(
    open_client: ClientFactory,
) -> None:
    good, bad = binary()[0].tolist(), [[999]]
    async with open_client() as client:
        response = await client.post("/v1/encode", json={"images": [good, bad, good, bad]})
        array = binary(4).astype(np.float64) / 255
        array[2, 0, 0] = np.nan
        in_array = await client.post("/v1/encode", content=npy(array), headers=NPY)
    problem = refused(response, 422, "out-of-support")
    assert [item["index"] for item in problem["items"]] == [1, 3]
    assert refused(in_array, 422, "out-of-support")["items"] == [
        {"index": 2, "reason": "NaN or infinite"}
    ]


async def test_resize_never_refuses_another_size(open_client: ClientFactory) -> None:
    data = encoded(binary(side=9)[0])
    async with open_client() as client:
        response = await client.post("/v1/encode?resize=never", content=data, headers=PNG)
    refused(response, 422, "shape-mismatch")


@pytest.mark.parametrize(
    ("latents", "slug"),
    [
        ([[0.0] * 3], "shape-mismatch"),
        ([0.0], "shape-mismatch"),
        ([[0.0] * 4, [0.0] * 3], "shape-mismatch"),
        ([[1e39, 0, 0, 0]], "out-of-support"),
        ([], "shape-mismatch"),
    ],
)
async def test_latents_that_cannot_be_decoded_are_refused(
    open_client: ClientFactory, latents: Any, slug: str
) -> None:
    async with open_client() as client:
        refused(await client.post("/v1/decode", json={"latents": latents}), 422, slug)


async def test_latents_that_decode_to_nothing_finite_are_refused(
    open_client: ClientFactory,
) -> None:
    latents = {"latents": [[0.0] * 8, [3e38] * 8]}
    async with open_client() as client:
        response = await client.post("/v1/models/oracle/decode", json=latents)
    assert refused(response, 422, "out-of-support")["items"][0]["index"] == 1


async def test_latents_in_npy_must_be_finite(open_client: ClientFactory) -> None:
    rows = np.zeros((3, LATENTS))
    rows[1, 0] = np.inf
    async with open_client() as client:
        response = await client.post("/v1/decode", content=npy(rows), headers=NPY)
    assert refused(response, 422, "out-of-support")["items"][0]["index"] == 1


async def test_an_interpolation_takes_exactly_two_items_of_one_kind(
    open_client: ClientFactory,
) -> None:
    images, latents = binary(3).tolist(), [[0.0] * LATENTS] * 2
    async with open_client() as client:
        for body in (
            {"images": images},
            {"images": images[:1]},
            {"latents": latents[:1]},
            {"images": images[:2], "latents": latents},
            {},
        ):
            response = await client.post("/v1/interpolate", json=body)
            refused(response, 422, "shape-mismatch")
        one = await client.post("/v1/interpolate", json={"images": images[:1]})
        three = await client.post("/v1/interpolate", json={"latents": [latents[0]] * 3})
        narrow = await client.post("/v1/interpolate", content=npy(np.zeros((2, 5))), headers=NPY)
        odd = await client.post("/v1/interpolate", content=npy(np.zeros((2, 5, 7, 9))), headers=NPY)
    curl = "curl -F images=@first.png -F images=@second.png"
    problem = refused(one, 422, "shape-mismatch")
    assert problem["detail"] == (f"The body holds 1 image; interpolate takes 2. Send 2: {curl}.")
    assert (problem["parameter"], problem["received"], problem["allowed"]) == ("body", 1, [2])
    assert problem["suggestion"] == curl
    problem = refused(three, 422, "shape-mismatch")
    assert problem["detail"].startswith("The body holds 3 latents; interpolate takes 2. Send 2: ")
    assert "@latents.npy" in problem["suggestion"]
    assert refused(narrow, 422, "shape-mismatch")["detail"] == (
        "The body holds 1 image; interpolate takes 2. An array of shape (2, 5) is read as "
        f"pictures; mnist's latents have the shape (2, {LATENTS}). Send 2: {curl}."
    )
    problem = refused(odd, 422, "shape-mismatch")
    assert problem["detail"] == (
        "The body's array of shape (2, 5, 7, 9) is neither pictures nor latents. mnist takes "
        f"pictures (N, 1, 8, 8) or latents (N, {LATENTS}). Send what encode or sample gives."
    )
    assert (problem["parameter"], problem["received"]) == ("body", [2, 5, 7, 9])


async def test_an_operation_refuses_the_other_kind_of_items(open_client: ClientFactory) -> None:
    async with open_client() as client:
        latents = await client.post("/v1/encode", json={"latents": [[0.0] * LATENTS]})
        images = await client.post("/v1/decode", json={"images": binary().tolist()})
        picture = await client.post("/v1/decode", content=PICTURE, headers=PNG)
        npy_ = await client.post("/v1/decode", content=npy(binary(2)), headers=NPY)
    for response in (latents, images, picture, npy_):
        refused(response, 422, "shape-mismatch")
    assert latents.json()["detail"].startswith("The body holds latents; encode takes images. Send ")
    assert (latents.json()["parameter"], latents.json()["received"]) == ("body", ["latents"])
    assert latents.json()["suggestion"] == (
        "curl --data-binary @image.png -H 'Content-Type: image/png'"
    )
    for response in (images, picture):
        detail = response.json()["detail"]
        assert detail.startswith("The body holds images; decode takes latents.")
        assert f"each of {LATENTS} numbers" in detail


async def test_an_npz_names_what_it_holds(open_client: ClientFactory) -> None:
    both = npz(images=binary(2), latents=np.zeros((2, LATENTS)))
    other = npz(a=binary(2), b=binary(2))
    async with open_client() as client:
        encoded_ = await client.post("/v1/encode", content=both, headers=NPZ)
        decoded = await client.post("/v1/decode", content=both, headers=NPZ)
        ambiguous = await client.post("/v1/interpolate", content=both, headers=NPZ)
        unnamed = await client.post("/v1/encode", content=other, headers=NPZ)
    assert encoded_.status_code == decoded.status_code == 200
    refused(ambiguous, 422, "shape-mismatch")
    refused(unnamed, 400, "corrupt-image")


def test_only_what_is_read_in_no_time_is_read_on_the_event_loop() -> None:
    tiny, large = encoded(binary()[0]), encoded(np.zeros((200, 200), np.uint8))
    assert is_small(Body(images=[Picture(tiny, "image/png")]))
    assert is_small(Body(images=[binary(10)]))
    assert not is_small(Body(images=[Picture(large)]))
    assert not is_small(Body(images=[Picture(tiny[:20])]))
    assert not is_small(Body(images=[Picture(encoded(binary()[0], "BMP"))]))
    assert not is_small(Body(latents=[np.zeros((1000, LATENTS))]))
    fourth = Picture(encoded(np.zeros((50, INLINE_PIXELS // 200), np.uint8)))
    assert is_small(Body(images=[fourth] * 4))
    assert not is_small(Body(images=[fourth] * 5))


async def test_pictures_of_other_sizes_have_steps_of_their_own(open_client: ClientFactory) -> None:
    images = [np.eye(side, dtype=np.uint8).tolist() for side in (8, 16, 8)]
    async with open_client() as client:
        json = {"images": images, "pixel_max": 1}
        answer = (await client.post("/v1/encode", json=json)).json()
    first, second, third = answer["preprocessing"]
    assert first == third != second
    assert len(answer["mean"]) == 3
