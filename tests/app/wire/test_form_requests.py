"""Forms over HTTP: fields, parts, boundaries and their limits."""

import numpy as np
import pytest

from tests.app.conftest import ClientFactory
from tests.app.pictures import binary, encoded
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


async def test_multipart_without_its_boundary_is_malformed(open_client: ClientFactory) -> None:
    body = b"--x\r\nnonsense"
    async with open_client() as client:
        for media_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
            response = await client.post(
                "/v1/encode", content=body, headers={"Content-Type": media_type}
            )
            refused(response, 400, "malformed-request")


async def test_parts_are_counted_before_they_are_parsed(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with open_client(max_items=2) as client:
        response = await client.post("/v1/encode", content=part * 3 + b"--x--", headers=headers)
        assert "VAE_MAX_ITEMS" in refused(response, 413, "payload-too-large")["detail"]
        monkeypatch.setattr("app.wire.multipart._Collector", None)
        response = await client.post("/v1/encode", content=part * 99 + b"--x--", headers=headers)
        assert "VAE_MAX_ITEMS" in refused(response, 413, "payload-too-large")["detail"]


async def test_multipart_that_ends_early_is_malformed(open_client: ClientFactory) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body = part + encoded(binary()[0]) + b"\r\n" + part + b"\x89PNG"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with open_client() as client:
        response = await client.post("/v1/encode", content=body, headers=headers)
    refused(response, 400, "malformed-request")


async def test_multipart_fields_are_known_and_given_once(open_client: ClientFactory) -> None:
    file = ("images", ("a.png", encoded(binary()[0]), "image/png"))
    text = ("images", ("a.txt", b"hello", "text/plain"))
    other = ("picture", file[1])
    async with open_client() as client:
        unknown = await client.post("/v1/encode", files=[other])
        twice = await client.post("/v1/encode", files=[file], data={"seed": ["1", "2"]})
        unsupported = await client.post("/v1/encode", files=[text])
        too_many = await client.post(
            "/v1/encode", files=[file], data={f"f{i}": "" for i in range(100)}
        )
    refused(unknown, 422, "invalid-parameter")
    refused(twice, 422, "invalid-parameter")
    refused(unsupported, 415, "unsupported-media")
    refused(too_many, 400, "malformed-request")


async def test_a_file_that_is_large_is_kept_in_memory(open_client: ClientFactory) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400), dtype=np.uint8)
    data = encoded(noise)
    assert len(data) > 1_500_000
    async with open_client() as client:
        response = await client.post("/v1/encode", files=[("images", ("a.png", data, "image/png"))])
    assert response.status_code == 200
    assert "1400x1400 to 8x8" in response.json()["preprocessing"][0][0]
