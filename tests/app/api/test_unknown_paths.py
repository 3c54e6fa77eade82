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
        ("/v3/sample", "/v1/sample"),
        ("/v1/sample/", "/v1/sample"),
        ("/sample", "/v1/sample"),
        ("/v1/models/", "/v1/models"),
        ("/v1/models/mnist/smaple", "/v1/models/mnist/sample"),
        ("/v1/models/mnist/version/1/elbo", "/v1/models/mnist/versions/1/elbo"),
        ("/v1/mnist/elbo", "/v1/models/mnist/elbo"),
        ("/mnist/elbo", "/v1/models/mnist/elbo"),
        ("/v1/mnits", "/v1/models/mnist"),
        ("/v1/models/mnits/smaple", "/v1/models/mnist/sample"),
        ("/v1/models/unknown/smaple", "/v1/models/unknown/sample"),
        ("/v1/", "/v1/models"),
        ("/v1/models/mnist/versions", "/v1/models/mnist"),
        ("/v1/models/mnist/1/sample", "/v1/models/mnist/versions/1/sample"),
        ("/v1/mnist/1/sample", "/v1/models/mnist/versions/1/sample"),
        ("/v1/models/mnist/score", "/v1/models/mnist"),
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
        for path in ("/zzzzzzzzzzzz", "/v1/score", "/v1/models/a/b/c/d", "/a" * 90):
            problem = refused(await client.get(path), 404, "not-found")
            assert problem["detail"] == (
                f"There is no path {path}. GET /openapi.json lists what there is."
            )
            assert "suggestion" not in problem
    async with open_client(docs=False) as client:
        problem = refused(await client.get("/docs"), 404, "not-found")
    assert problem.get("suggestion") not in PAGES
    assert "/openapi.json" not in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "named", "example"),
    [
        ("POST", "/v1/sample", "sample is GET, not POST", "GET /v1/sample?n=16&seed=1"),
        ("POST", "/v1/sample?n=4", "sample is GET, not POST", "GET /v1/sample?n=4"),
        (
            "GET",
            "/v1/models/mnist/encode",
            "encode is POST, not GET",
            "curl --data-binary @image.png -H 'Content-Type: image/png' "
            "http://test/v1/models/mnist/encode",
        ),
        (
            "GET",
            "/v1/models/mnist/versions/1/elbo?num_samples=9&seed=1",
            "elbo is POST, not GET",
            "curl --data-binary @image.png -H 'Content-Type: image/png' "
            "'http://test/v1/models/mnist/versions/1/elbo?num_samples=9&seed=1'",
        ),
        (
            "PUT",
            "/v1/decode",
            "decode is POST, not PUT",
            "curl --data-binary @latents.npy -H 'Content-Type: application/x-npy' "
            "http://test/v1/decode",
        ),
        (
            "GET",
            "/v1/interpolate",
            "interpolate is POST, not GET",
            "curl -F images=@first.png -F images=@second.png http://test/v1/interpolate",
        ),
        (
            "DELETE",
            "/v1/models/mnist",
            "/v1/models/mnist is GET, not DELETE",
            "GET /v1/models/mnist",
        ),
        (
            "POST",
            "/v1/models/sample",
            "/v1/models/sample is GET, not POST",
            "GET /v1/models/sample",
        ),
    ],
)
async def test_a_wrong_method_gets_the_right_one(
    open_client: ClientFactory, method: str, path: str, named: str, example: str
) -> None:
    async with open_client() as client:
        response = await client.request(method, path)
    problem = refused(response, 405, "method-not-allowed")
    assert problem["detail"] == f"{named}: {example}."
    assert problem["allowed"] == [response.headers["allow"]]
    assert (problem["parameter"], problem["received"]) == ("method", method)
    assert problem["suggestion"] == example
