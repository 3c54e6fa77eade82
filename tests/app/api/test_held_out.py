"""What bundles keep of held-out pictures for a page: examples and a map."""

import base64
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api.model_descriptions import ExamplesAnswer, MapAnswer
from models.images.spec import ImageSpec
from tests.app.conftest import ClientFactory
from tests.app.pictures import read_npy, read_npz, read_picture
from tests.app.refusals import refused
from tests.app.repository import SOURCE, binary_vae, write_bundle

pytestmark = pytest.mark.anyio
MODEL = "/v1/models/mnist"


@pytest.mark.parametrize("model", ["mnist", "colour"])
async def test_examples_are_the_same_pictures_in_every_format(
    open_client: ClientFactory, model: str
) -> None:
    path = f"/v1/models/{model}/examples"
    async with open_client() as client:
        shown = ExamplesAnswer.model_validate_json((await client.get(path)).content)
        sheet = read_picture((await client.get(path, headers={"Accept": "image/png"})).content)
        images = read_npy((await client.get(path, params={"format": "npy"})).content)
        arrays = read_npz((await client.get(path, params={"format": "npz"})).content)
        described = (await client.get(f"/v1/models/{model}")).json()
    assert "examples" in described["capabilities"]
    assert (shown.model, shown.source) == (model, SOURCE)
    assert [example.index for example in shown.examples] == list(range(8))
    assert [example.label for example in shown.examples][:3] == [None, "a", "b"]
    pictures = [read_picture(base64.b64decode(example.png)) for example in shown.examples]
    height, width = described["image_shape"][1:]
    for index, picture in enumerate(pictures):  # in one row, side by side
        assert np.array_equal(sheet[:, width * index : width * (index + 1)], picture)
        channels_last = np.moveaxis(images[index], 0, -1).reshape(picture.shape)
        assert np.array_equal(np.rint(channels_last * 255), picture)
    assert sheet.shape[:2] == (height, 8 * width)
    assert np.array_equal(arrays["images"], images)
    assert arrays["label"].tolist()[:3] == ["", "a", "b"]
    named = arrays["model"].item(), arrays["version"].item(), arrays["source"].item()
    assert named == (model, shown.version, SOURCE)


async def test_a_map_is_a_plane_of_latents_that_decode_takes(open_client: ClientFactory) -> None:
    async with open_client() as client:
        answer = await client.get(f"{MODEL}/map")
        of_version = await client.get(f"{MODEL}/versions/2/map")
        found = MapAnswer.model_validate_json(answer.content)
        z = np.asarray(found.mean) + np.asarray(found.points) @ np.asarray(found.axes)
        decoded = await client.post(f"{MODEL}/decode", json={"latents": z.tolist()})
    assert of_version.content == answer.content
    assert list(answer.json()) == [
        *("model", "version", "source", "mean", "axes", "explained", "points", "labels"),
        "label_names",
    ]
    assert (found.model, found.version, found.source) == ("mnist", 2, SOURCE)
    assert (found.labels, found.label_names) == ([1, None], ["a", "b"])
    assert found.explained == [0.5, 0.25]
    assert decoded.status_code == 200


async def test_a_page_is_not_sent_twice(open_client: ClientFactory) -> None:
    async with open_client() as client:
        first = await client.get(f"{MODEL}/versions/2/examples")
        etag = {"If-None-Match": first.headers["etag"]}
        again = await client.get(f"{MODEL}/versions/2/examples", headers=etag)
        other = await client.get(f"{MODEL}/examples?format=npy", headers=etag)
    assert "immutable" in first.headers["cache-control"]
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200
    assert other.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("need", ["examples", "map"])
async def test_what_a_bundle_has_not_is_refused_with_the_reason(
    open_client: ClientFactory, need: str
) -> None:
    async with open_client() as client:
        old = await client.get(f"{MODEL}/versions/1/{need}")
        lacks = (await client.get(f"{MODEL}/versions/1")).json()["lacks"]
    problem = refused(old, 409, "unsupported-operation")
    assert lacks[need] in problem["detail"]
    assert f"colour and mnist have: /v1/models/colour/{need}." in problem["detail"]
    assert problem["allowed"] == ["colour", "mnist"]


async def test_a_service_where_no_model_has_it_says_so(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    binary = ImageSpec(channels=1, height=8, width=8, levels=2, binarization="stochastic")
    write_bundle(tmp_path, "only", 1, binary_vae(), binary)
    async with open_client(model_repository=tmp_path) as client:
        answer = await client.get("/v1/models/only/examples")
    assert "No other served model has." in refused(answer, 409, "unsupported-operation")["detail"]


@pytest.mark.parametrize(
    ("path", "status", "slug", "words"),
    [
        (f"{MODEL}/examples?fromat=npz", 422, "invalid-parameter", "It has format"),
        (f"{MODEL}/map?format=npz", 422, "invalid-parameter", "is not one of json."),
        (f"{MODEL}/examples?format=webp", 422, "invalid-parameter", "json, png, npy, npz"),
        ("/v1/models/mnits/examples", 404, "unknown-model", "'mnist'"),
        (f"{MODEL}/versions/3/examples", 404, "unknown-model", "Available: 1, 2"),
        (f"{MODEL}/exmaples", 404, "not-found", f"Did you mean {MODEL}/examples?"),
    ],
)
async def test_bad_requests_say_the_fix(
    open_client: ClientFactory, path: str, status: int, slug: str, words: str
) -> None:
    async with open_client() as client:
        answer: httpx.Response = await client.get(path)
    assert words in refused(answer, status, slug)["detail"]
