"""Routes: models and versions in the path, methods, and paths that do not exist."""

import pytest

from app.operations.table import OPERATIONS
from tests.app.api.calls import PICTURES
from tests.app.conftest import ClientFactory

pytestmark = pytest.mark.anyio


async def test_each_version_of_each_model_answers_under_its_own_path(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        versions = {}
        for path in ("/v1", "/v1/models/mnist", "/v1/models/mnist/versions/2"):
            response = await client.post(f"{path}/encode", json={"images": PICTURES.tolist()})
            versions[path] = response.json()
        old = await client.post(
            "/v1/models/mnist/versions/1/encode", json={"images": PICTURES.tolist()}
        )
    assert len({str(answer) for answer in versions.values()}) == 1
    assert old.json()["version"] == 1
    assert old.json()["mean"] != versions["/v1"]["mean"]


@pytest.mark.parametrize("version", ["x", "0", "-1", "1e0", "99999999999", "1_", "٣"])
@pytest.mark.parametrize("path", ["", "/sample"])
async def test_a_version_that_is_no_number_is_refused_with_the_way_to_find_one(
    open_client: ClientFactory, version: str, path: str
) -> None:
    async with open_client() as client:
        refused = await client.get(f"/v1/models/mnist/versions/{version}{path}")
    assert refused.status_code == 422
    problem = refused.json()
    assert problem["type"] == "/problems/invalid-parameter"
    assert problem["detail"] == (
        f"version={version!r} in the path is not a version number, an integer from 1 to "
        "2147483647. GET /v1/models lists the versions of every model."
    )


async def test_every_get_answers_head_with_the_same_headers(open_client: ClientFactory) -> None:
    paths = ("/", "/livez", "/v1/models", "/v1/models/mnist", "/v1/sample?seed=1&n=1")
    async with open_client() as client:
        for path in paths:
            got, head = await client.get(path), await client.head(path)
            assert head.status_code == got.status_code == 200
            assert head.headers["content-type"] == got.headers["content-type"]
            assert head.headers["content-length"] == got.headers["content-length"]


async def test_a_wrong_method_is_refused_with_the_right_one(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for operation in OPERATIONS.values():
            wrong = "GET" if operation.method == "POST" else "POST"
            for prefix in ("/v1", "/v1/models/mnist", "/v1/models/mnist/versions/1"):
                refused = await client.request(wrong, f"{prefix}/{operation.name}")
                assert refused.status_code == 405
                assert refused.headers["allow"] == operation.method


@pytest.mark.parametrize("path", ["/v1/sample/", "/v1/models/", "/docs/", "/v1/nope", "/v1"])
async def test_a_path_that_is_not_served_is_not_found(
    open_client: ClientFactory, path: str
) -> None:
    async with open_client() as client:
        refused = await client.get(path)
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/not-found")
