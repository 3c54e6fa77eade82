"""Unknown paths get the closest one, wrong methods the right one with an example."""

import pytest

from app.api.unknown_paths import PAGES, PATHS
from app.main import create_app
from app.settings import Settings
from tests.app.conftest import ClientFactory
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


def test_every_path_of_the_api_may_be_suggested() -> None:
    assert set(PATHS) == set(create_app(Settings()).openapi()["paths"])


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/smaple", "/v1/sample"),
        ("/v2/sample", "/v1/sample"),
        ("/v1/sample/", "/v1/sample"),
        ("/sample", "/v1/sample"),
        ("/v1/models/", "/v1/models"),
        ("/v1/models/mnist/smaple", "/v1/models/mnist/sample"),
        ("/v1/models/mnist/version/1/elbo", "/v1/models/mnist/versions/1/elbo"),
        ("/metric", "/metrics"),
        ("/doc", "/docs"),
    ],
)
async def test_an_unknown_path_gets_the_closest(
    open_client: ClientFactory, path: str, meant: str
) -> None:
    async with open_client() as client:
        problem = refused(await client.get(path), 404, "not-found")
    assert problem["detail"] == f"There is no path {path}. Did you mean {meant}?"
    assert (problem["parameter"], problem["received"], problem["suggestion"]) == (
        "path",
        path,
        meant,
    )


async def test_a_path_like_no_other_gets_the_list(open_client: ClientFactory) -> None:
    async with open_client() as client:
        problem = refused(await client.get("/zzzzzzzzzzzz"), 404, "not-found")
    assert "GET /openapi.json lists what there is." in problem["detail"]
    assert "suggestion" not in problem
    async with open_client(docs=False) as client:
        problem = refused(await client.get("/docs"), 404, "not-found")
    assert problem.get("suggestion") not in PAGES
    assert "/openapi.json" not in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("POST", "/v1/sample", "sample is GET, not POST: GET /v1/sample?n=16&seed=1."),
        (
            "GET",
            "/v1/models/mnist/encode",
            "encode is POST, not GET: POST /v1/models/mnist/encode with a picture as the body and "
            "Content-Type: image/png.",
        ),
        (
            "PUT",
            "/v1/decode",
            'decode is POST, not PUT: POST /v1/decode with {"latents": [[...]]} as the body and '
            "Content-Type: application/json.",
        ),
        (
            "DELETE",
            "/v1/models/mnist",
            "/v1/models/mnist is GET, not DELETE: GET /v1/models/mnist.",
        ),
    ],
)
async def test_a_wrong_method_gets_the_right_one(
    open_client: ClientFactory, method: str, path: str, detail: str
) -> None:
    async with open_client() as client:
        response = await client.request(method, path)
    problem = refused(response, 405, "method-not-allowed")
    assert problem["detail"] == detail
    assert problem["allowed"] == [response.headers["allow"]]
    assert problem["suggestion"].startswith(f"{response.headers['allow']} {path}")
