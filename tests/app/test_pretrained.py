"""The shipped bundles: every operation, from every form of input, to every form of output."""

import base64
from typing import Any

import numpy as np
import pytest

from app.api.examples import EXAMPLE_ID, PNG_8X8
from app.api.openapi_components import problem_example
from app.operations.table import OPERATIONS
from app.settings import PRETRAINED
from app.wire.media_types import MEDIA_TYPES
from models.bundle.repository import Repository
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, NPZ, encoded, npy, npz, read_npy

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SHIPPED = Repository(PRETRAINED)
BUNDLES = [(name, version) for name in SHIPPED.names() for version in SHIPPED.versions(name)]
FILE_FORMATS = ("png", "jpeg", "webp", "gif", "bmp", "tiff")


def pictures(shape: list[int], n: int) -> np.ndarray:
    """Smooth blobs of bytes, (N, H, W) or (N, H, W, 3)."""
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    blobs = [np.exp(-((y - 0.5) ** 2 + (x - 0.3 - 0.2 * i) ** 2) * 20) for i in range(n)]
    grey = (np.stack(blobs) * 255).astype(np.uint8)
    return grey if channels == 1 else np.repeat(grey[..., None], 3, axis=-1)


def image_bodies(shape: list[int], n: int) -> dict[str, dict[str, Any]]:
    """The forms in which n pictures can be sent."""
    arrays = pictures(shape, n)
    files = [encoded(array) for array in arrays]
    bodies: dict[str, dict[str, Any]] = {
        "base64": {"json": {"images": [base64.b64encode(file).decode() for file in files]}},
        "numbers": {"json": {"images": arrays.tolist()}},
        "npy": {"content": npy(arrays), "headers": NPY},
        "npz": {"content": npz(images=arrays), "headers": NPZ},
        "multipart": {"files": [("images", ("p.png", file, "image/png")) for file in files]},
    }
    for form in FILE_FORMATS if n == 1 else ():
        content = encoded(arrays[0], form)
        bodies[form] = {"content": content, "headers": {"Content-Type": f"image/{form}"}}
    return bodies


def latent_bodies(shape: list[int]) -> dict[str, dict[str, Any]]:
    """The forms in which two latents can be sent."""
    latents = np.random.default_rng(0).normal(size=(2, *shape))
    return {
        "json": {"json": {"latents": latents.tolist()}},
        "npy": {"content": npy(latents), "headers": NPY},
        "npz": {"content": npz(latents=latents), "headers": NPZ},
    }


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
@pytest.mark.parametrize(("name", "version"), BUNDLES, ids=[f"{n}-{v}" for n, v in BUNDLES])
async def test_every_input_gets_every_output(
    open_client: ClientFactory, name: str, version: int, operation: Any
) -> None:
    path = f"/v1/models/{name}/versions/{version}"
    async with open_client(model_repository=PRETRAINED) as client:
        model = (await client.get(path)).json()
        if operation.name not in [offered["name"] for offered in model["operations"]]:
            response = await client.post(f"{path}/{operation.name}", json={"images": [[[0]]]})
            assert response.status_code == 409
            return
        bodies: dict[str, dict[str, Any]] = {} if operation.takes else {"nothing": {}}
        if "images" in operation.takes:
            bodies |= image_bodies(model["image_shape"], operation.exact_items or 1)
        if "latents" in operation.takes:
            bodies |= {f"latents {k}": v for k, v in latent_bodies(model["latent_shape"]).items()}
        draws = "num_samples" in operation.parameters.model_fields and operation.per_item
        params = {"num_samples": "4"} if draws else {}
        # Two random images may seem to be of different labels, and latents have none.
        labelled = bool(model["labels"]) and "labels" in model["capabilities"]
        if labelled and operation.name in ("decode", "interpolate"):
            params["label"] = model["labels"][0]
        for form in operation.formats:
            for how, body in bodies.items():
                response = await client.request(
                    operation.method,
                    f"{path}/{operation.name}",
                    params={**params, "format": form},
                    **body,
                )
                assert response.status_code == 200, (form, how, response.text)
                assert response.headers["content-type"] == MEDIA_TYPES[form]
                assert response.headers["x-bundle-digest"] == model["digest"]
                if form == "json":
                    operation.answer.model_validate_json(response.content)


def test_there_are_shipped_bundles() -> None:
    assert BUNDLES


@pytest.mark.parametrize(("name", "version"), BUNDLES, ids=[f"{n}-{v}" for n, v in BUNDLES])
async def test_a_bundle_shows_held_out_pictures_that_its_card_names(
    open_client: ClientFactory, name: str, version: int
) -> None:
    path = f"/v1/models/{name}/versions/{version}"
    card = (PRETRAINED / name / str(version) / "README.md").read_text(encoding="utf-8")
    async with open_client(model_repository=PRETRAINED) as client:
        shown = (await client.get(f"{path}/examples")).json()
        pictures = read_npy((await client.get(f"{path}/examples?format=npy")).content)
        answer = await client.get(f"{path}/map")
        some = {"content": npy(pictures[:8]), "headers": NPY}
        scores = (await client.post(f"{path}/elbo?num_samples=100&seed=1", **some)).json()
    labels = [example["label"] for example in shown["examples"]]
    assert len(labels) == len(pictures) == 64
    assert None not in labels
    assert shown["source"] in card
    assert "Licence: " in shown["source"]
    assert len(answer.content) <= 60_000
    assert answer.json()["source"] in card
    points = np.asarray(answer.json()["points"])
    assert len(points) == len(answer.json()["labels"]) >= 300
    np.testing.assert_allclose(points.mean(0), 0, atol=0.01)  # of posterior means less their mean
    # Pictures of the kind that the references are of: their ranks are about uniform.
    percentiles = [result["percentile"] for result in scores["results"]]
    assert 20 < np.mean(percentiles) < 80


PICTURE = {"json": {"images": [PNG_8X8]}}
WRONG: dict[str, tuple[str, str, dict[str, Any]]] = {
    "unknown-model": ("POST", "/v1/models/mnits/encode", PICTURE),
    "not-acceptable": ("POST", "/v1/encode", PICTURE | {"headers": {"Accept": "image/png"}}),
    "unsupported-operation": ("POST", "/v1/models/mnist/classify", PICTURE),
    "payload-too-large": ("GET", "/v1/sample?n=5000", {}),
    "invalid-parameter": ("POST", "/v1/log-likelihood?estimator=iwea", PICTURE),
    "shape-mismatch": ("POST", "/v1/decode", {"json": {"latents": [[0.5] * 16] * 2}}),
}
"""Requests whose answers stand as examples in the OpenAPI document, by the type of problem."""


@pytest.mark.parametrize("slug", WRONG)
async def test_the_example_of_a_problem_is_what_the_server_says(
    open_client: ClientFactory, slug: str
) -> None:
    method, path, sent = WRONG[slug]
    async with open_client(model_repository=PRETRAINED) as client:
        problem = (await client.request(method, path, **sent)).json()
    assert problem | {"request_id": EXAMPLE_ID} == problem_example(slug)
