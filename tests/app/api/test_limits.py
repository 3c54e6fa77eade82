"""A request over a limit is told what fits, and exactly that fits."""

import io
import re
from typing import Any

import numpy as np
import pytest

from app.api.limits import rounded, short
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, NPZ, PNG, binary, encoded, npy
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio

PICTURE = encoded(binary()[0])


async def test_too_many_samples_of_the_model_are_asked_for_in_parts(
    open_client: ClientFactory,
) -> None:
    async with open_client(max_items=8) as client:
        problem = refused(await client.get("/v1/sample?n=20&seed=1"), 413, "payload-too-large")
        ask = "/v1/sample?seed=1&format=json&n="
        parts = [(await client.get(f"{ask}8&first_item={i}")).json()["images"] for i in (0, 8)]
    async with open_client() as client:
        whole = (await client.get(f"{ask}16")).json()["images"]
    assert problem["detail"] == (
        "n=20 is over this server's limit of 8 (VAE_MAX_ITEMS). Ask for n=8 with the same seed and "
        "first_item=0, 8, ...; the result is identical."
    )
    assert (problem["parameter"], problem["limit"], problem["suggestion"]) == ("n", 8, 8)
    assert [*parts[0], *parts[1]] == whole


async def test_steps_have_no_parts(open_client: ClientFactory) -> None:
    body = {"images": binary(2).tolist()}
    async with open_client(max_items=8) as client:
        response = await client.post("/v1/interpolate?steps=9", json=body)
    detail = refused(response, 413, "payload-too-large")["detail"]
    assert detail == "steps=9 is over this server's limit of 8 (VAE_MAX_ITEMS). Ask for steps=8."


async def test_images_over_the_limit_are_counted(open_client: ClientFactory) -> None:
    async with open_client(max_items=8) as client:
        response = await client.post("/v1/encode", content=npy(binary(9)), headers=NPY)
        latents = await client.post("/v1/decode", json={"latents": [[0.0] * 4] * 9})
    detail = refused(response, 413, "payload-too-large")["detail"]
    assert detail.startswith("9 images are over this server's limit of 8 (VAE_MAX_ITEMS).")
    assert "9 latents are over" in refused(latents, 413, "payload-too-large")["detail"]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"max_request_cost": 1.0}, "/v1/elbo?num_samples=50"),
        ({"max_request_cost": 2.0}, "/v1/log-likelihood?num_samples=30"),
        ({"max_request_cost": 3.0}, "/v1/models/mnist-labelled/elbo?num_samples=50"),
        ({"max_answer_numbers": 500}, "/v1/encode?num_samples=50"),
    ],
)
async def test_what_is_said_to_fit_fits_and_one_more_does_not(
    open_client: ClientFactory, settings: dict[str, Any], path: str
) -> None:
    pictures = binary(12)

    async def status(client: Any, images: int, samples: int) -> int:
        query = f"{path.partition('=')[0]}={samples}"
        body = npy(pictures[:images])
        return int((await client.post(query, content=body, headers=NPY)).status_code)

    async with open_client(**settings) as client:
        response = await client.post(path, content=npy(pictures), headers=NPY)
        problem = refused(response, 413, "payload-too-large")
        assert problem["detail"].startswith(f"12 images x {path.partition('=')[2]} samples ")
        asked = int(path.partition("=")[2])
        said = re.search(r"Send (\d+) images? per request", problem["detail"])
        fits = {"images": int(said[1])} if said else {}
        if "parameter" in problem:
            fits[problem["parameter"]] = problem["suggestion"]
        assert fits
        assert problem["received"] > problem["limit"]
        assert len(f"{problem['received']:.12g}") <= 7
        assert problem["limit"] == next(iter(settings.values()))
        if "images" in fits:
            assert await status(client, fits["images"], asked) == 200
            assert await status(client, fits["images"] + 1, asked) == 413
            noun = "image" if fits["images"] == 1 else "images"
            assert f"Send {fits['images']} {noun} per request" in problem["detail"]
        if "num_samples" in fits:
            assert await status(client, 12, fits["num_samples"]) == 200
            assert await status(client, 12, fits["num_samples"] + 1) == 413
            assert f"num_samples={fits['num_samples']}." in problem["detail"]


async def test_where_nothing_fits_the_operator_is_named(open_client: ClientFactory) -> None:
    async with open_client(max_answer_numbers=3) as client:
        problem = refused(await client.get("/v1/sample?n=1"), 413, "payload-too-large")
    assert problem["detail"] == (
        "n=1 makes 68 numbers; the limit is 3 (VAE_MAX_ANSWER_NUMBERS). Choose a smaller model, or "
        "ask the operator to raise VAE_MAX_ANSWER_NUMBERS."
    )
    assert "suggestion" not in problem


def test_large_numbers_are_short_unless_they_would_look_alike() -> None:
    assert short(1_190_476, 1e6) == "1.19 M"
    assert short(1e6, 1_190_476) == "1 M"
    assert short(1_000_001, 1e6) == "1,000,001"
    assert short(204, 100) == "204"


def test_a_size_for_programs_has_six_digits_unless_it_would_not_be_over_the_limit() -> None:
    assert rounded(3951359.9999999995, 1e6) == 3_951_360
    assert rounded(1234.5678, 1e3) == 1234.57
    assert rounded(1_000_000.4, 1e6) == 1_000_000.4


async def test_each_limit_refuses_what_is_over_it_and_names_its_setting(
    open_client: ClientFactory,
) -> None:
    images = {"images": binary(3).tolist()}
    cases: list[tuple[dict[str, Any], str, str, dict[str, Any]]] = [
        ({"max_items": 2}, "POST", "/v1/encode", {"json": images}),
        ({"max_items": 2}, "POST", "/v1/encode", {"content": npy(binary(3)), "headers": NPY}),
        (
            {"max_items": 2},
            "POST",
            "/v1/encode",
            {"content": npy(binary(3)[:, None]), "headers": NPY},
        ),
        ({"max_items": 2}, "GET", "/v1/sample?n=3", {}),
        (
            {"max_items": 2},
            "POST",
            "/v1/interpolate?steps=3",
            {"json": {"images": images["images"][:2]}},
        ),
        ({"max_num_samples": 9}, "POST", "/v1/elbo?num_samples=10", {"json": images}),
        ({"max_num_samples": 9}, "POST", "/v1/encode?num_samples=10", {"json": images}),
        ({"max_answer_numbers": 100}, "GET", "/v1/sample?n=3", {}),
        ({"max_answer_numbers": 100}, "POST", "/v1/encode?num_samples=20", {"json": images}),
        ({"max_request_cost": 0.1}, "POST", "/v1/elbo?num_samples=10", {"json": images}),
        ({"max_pixels": 63}, "POST", "/v1/encode", {"content": PICTURE, "headers": PNG}),
        (
            {"max_body_bytes": len(PICTURE) - 1},
            "POST",
            "/v1/encode",
            {"content": PICTURE, "headers": PNG},
        ),
    ]
    for settings, method, path, body in cases:
        async with open_client(**settings) as client:
            response = await client.request(method, path, **body)
        problem = refused(response, 413, "payload-too-large")
        (name,) = settings
        assert f"(VAE_{name.upper()})" in problem["detail"]
        assert problem["limit"] == settings[name]
        assert problem["received"] > problem["limit"]


async def test_each_limit_admits_what_is_just_within_it(open_client: ClientFactory) -> None:
    images = {"images": binary(2).tolist()}
    async with open_client(max_items=2, max_num_samples=10, max_body_bytes=len(PICTURE)) as client:
        assert (await client.get("/v1/sample?n=2")).status_code == 200
        response = await client.post("/v1/encode", content=PICTURE, headers=PNG)
        assert response.status_code == 200
    async with open_client(max_items=2, max_num_samples=10, max_pixels=64) as client:
        assert (await client.post("/v1/elbo?num_samples=10", json=images)).status_code == 200


async def test_an_npz_that_unpacks_to_more_than_a_body_is_refused(
    open_client: ClientFactory,
) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros((1000, 64, 64), np.uint8))
    async with open_client(max_body_bytes=1_000_000) as client:
        response = await client.post("/v1/encode", content=buffer.getvalue(), headers=NPZ)
    refused(response, 413, "payload-too-large")


async def test_default_limits_admit_twenty_images_of_a_thousand_samples(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        response = await client.post("/v1/log-likelihood", content=npy(binary(20)), headers=NPY)
    assert response.status_code == 200
    assert len(response.json()["results"]) == 20


async def test_too_many_annealing_steps_are_told_how_many_fit(open_client: ClientFactory) -> None:
    body = {"images": binary(2).tolist()}
    url = "/v1/log-likelihood?estimator=ais&ais_steps="
    async with open_client(max_request_cost=30.0, max_num_samples=1) as client:
        response = await client.post(f"{url}200", json=body)
        problem = refused(response, 413, "payload-too-large")
        assert "2 images x 200 annealing steps cost" in problem["detail"]
        fits = int(re.findall(r"ais_steps=(\d+)", problem["detail"])[0])
        assert 2 <= fits < 200
