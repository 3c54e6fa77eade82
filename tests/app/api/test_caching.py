"""Caching: ETag and Cache-Control of a seeded GET."""

import pytest

from tests.app.api.calls import call
from tests.app.conftest import ClientFactory

pytestmark = pytest.mark.anyio


async def test_a_seeded_get_has_an_etag_and_is_not_sent_twice(open_client: ClientFactory) -> None:
    async with open_client() as client:
        first = await call(client, "sample", params={"seed": 1})
        etag = first.headers["etag"]
        for value in (etag, f'"other", W/{etag}', "*"):
            again = await client.get("/v1/sample?seed=1", headers={"If-None-Match": value})
            assert again.status_code == 304
            assert again.content == b""
            assert again.headers["etag"] == etag
        changed = await client.get("/v1/sample?seed=1", headers={"If-None-Match": '"other"'})
        other_seed = await call(client, "sample", params={"seed": 2})
        other_form = await call(client, "sample", params={"seed": 1, "format": "json"})
        other_version = await client.get("/v1/models/mnist/versions/1/sample?seed=1")
    assert changed.status_code == 200
    tags = {r.headers["etag"] for r in (first, other_seed, other_form, other_version)}
    assert len(tags) == 4
    assert first.headers["cache-control"] == "private, no-cache"
    assert "immutable" in other_version.headers["cache-control"]


async def test_what_is_not_a_seeded_get_is_not_kept(open_client: ClientFactory) -> None:
    async with open_client() as client:
        responses = [
            await call(client, "sample"),
            await client.get("/v1/models/mnist/versions/1/sample"),
            await call(client, "elbo", params={"seed": 1}),
        ]
    assert all(r.headers["cache-control"] == "no-store" for r in responses)
    assert all("etag" not in r.headers for r in responses)
