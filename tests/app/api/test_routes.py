"""The operations over HTTP: every input, every output, and what they agree on."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from app.operations.table import OPERATIONS
from app.wire.media_types import MEDIA_TYPES
from tests.app.conftest import ClientFactory
from tests.app.pictures import (
    JSON,
    NPY,
    NPZ,
    PNG,
    binary,
    encoded,
    npy,
    npz,
    read_npy,
    read_npz,
    read_picture,
)
from tests.app.repository import LATENTS, REFERENCES, SIDE

pytestmark = pytest.mark.anyio

PICTURES = binary(2)
LATENT_ROWS = np.random.default_rng(0).normal(size=(2, LATENTS)).astype(np.float32)


def image_bodies(pictures: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same pictures in every form that holds several."""
    files = [encoded(picture) for picture in pictures]
    texts = [base64.b64encode(file).decode() for file in files]
    return {
        "base64": {"json": {"images": texts}},
        "data URL": {"json": {"images": [f"data:image/png;base64,{text}" for text in texts]}},
        "numbers": {"json": {"images": pictures.tolist()}},
        "floats": {"json": {"images": (pictures / 255).tolist()}},
        "channels last": {"json": {"images": pictures[..., None].tolist()}},
        "npy": {"content": npy(pictures), "headers": NPY},
        "npy (N, C, H, W)": {"content": npy(pictures[:, None]), "headers": NPY},
        "npy floats": {"content": npy(pictures / 255), "headers": NPY},
        "npy booleans": {"content": npy(pictures > 0), "headers": NPY},
        "npy Fortran": {"content": npy(np.asfortranarray(pictures)), "headers": NPY},
        "npy big-endian": {"content": npy((pictures / 255).astype(">f4")), "headers": NPY},
        "npz": {"content": npz(images=pictures), "headers": NPZ},
        "npz of another name": {"content": npz(arr_0=pictures), "headers": NPZ},
        "multipart": {
            "files": [("images", (f"{i}.png", f, "image/png")) for i, f in enumerate(files)]
        },
        "multipart untyped": {
            "files": [
                ("images", (f"{i}.png", f, "application/octet-stream")) for i, f in enumerate(files)
            ]
        },
        "multipart npy": {"files": [("images", ("x.npy", npy(pictures), "application/x-npy"))]},
    }


def latent_bodies(latents: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same latents in every form."""
    return {
        "json": {"json": {"latents": latents.tolist()}},
        "npy": {"content": npy(latents), "headers": NPY},
        "npy doubles": {"content": npy(latents.astype(np.float64)), "headers": NPY},
        "npz": {"content": npz(latents=latents), "headers": NPZ},
        "npz of another name": {"content": npz(z=latents), "headers": NPZ},
        "multipart": {"files": [("latents", ("z.npy", npy(latents), "application/x-npy"))]},
    }


def body_of(operation: str) -> dict[str, Any]:
    """A body that the operation takes."""
    if operation == "decode":
        return {"json": {"latents": LATENT_ROWS.tolist()}}
    return {"json": {"images": PICTURES.tolist()}}


async def call(client: httpx.AsyncClient, operation: str, **arguments: Any) -> httpx.Response:
    """Call an operation of the default model, or of one that can do it, and expect success."""
    body = {} if operation == "sample" else body_of(operation)
    method = OPERATIONS[operation].method
    prefix = "/v1/models/mnist-labelled" if operation == "classify" else "/v1"
    response = await client.request(method, f"{prefix}/{operation}", **{**body, **arguments})
    assert response.status_code == 200, response.text
    return response


# Inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["encode", "reconstruct", "interpolate", "elbo"])
async def test_all_forms_of_the_same_pictures_get_the_same_answer(
    open_client: ClientFactory, operation: str
) -> None:
    params = {} if operation == "interpolate" else {"seed": 1}
    async with open_client() as client:
        answers = {}
        for name, body in image_bodies(PICTURES).items():
            response = await call(client, operation, params=params, **body)
            answers[name] = {k: v for k, v in response.json().items() if k != "preprocessing"}
    assert all(answer == answers["base64"] for answer in answers.values())


async def test_all_forms_of_the_same_latents_get_the_same_answer(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        for operation in ("decode", "interpolate"):
            answers = [
                (await call(client, operation, **body)).json()
                for body in latent_bodies(LATENT_ROWS).values()
            ]
            assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_a_raw_picture_of_any_lossless_type_is_read(
    open_client: ClientFactory, form: str
) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(PICTURES[0], form, **options)
    headers = {"Content-Type": f"image/{form.lower()}"}
    async with open_client() as client:
        raw = await call(client, "encode", content=data, headers=headers)
        png = await call(client, "encode", content=encoded(PICTURES[0]), headers=PNG)
    assert raw.json()["mean"] == png.json()["mean"]


async def test_a_jpeg_is_read(open_client: ClientFactory) -> None:
    data = encoded(PICTURES[0], "JPEG", quality=95)
    async with open_client() as client:
        response = await call(
            client, "encode", content=data, headers={"Content-Type": "image/jpeg"}
        )
    assert len(response.json()["mean"]) == 1


async def test_a_large_body_is_read_off_the_event_loop_and_gets_the_same_answer(
    open_client: ClientFactory,
) -> None:
    pictures = binary(200)
    async with open_client() as client:
        as_text = await call(client, "encode", json={"images": (pictures / 255).tolist()})
        as_array = await call(client, "encode", content=npy(pictures / 255), headers=NPY)
    assert as_text.json() == as_array.json()


async def test_parameters_come_from_query_body_and_form_alike(open_client: ClientFactory) -> None:
    images = PICTURES.tolist()
    files = [("images", ("0.npy", npy(PICTURES), "application/x-npy"))]
    async with open_client() as client:
        answers = [
            await call(client, "encode", params={"num_samples": 2, "seed": 3}),
            await call(client, "encode", json={"images": images, "num_samples": 2, "seed": 3}),
            await call(client, "encode", files=files, data={"num_samples": "2", "seed": "3"}),
            await call(
                client,
                "encode",
                params={"seed": 3, "num_samples": "2"},
                json={"images": images, "num_samples": 2},
            ),
        ]
    assert len({answer.text for answer in answers}) == 1


async def test_reading_parameters_change_what_the_model_sees(open_client: ClientFactory) -> None:
    async with open_client() as client:
        inverted = await call(client, "encode", params={"invert": "true"})
        by_hand = await call(client, "encode", json={"images": (255 - PICTURES).tolist()})
        scaled = await call(
            client, "encode", params={"pixel_max": 1}, json={"images": (PICTURES // 255).tolist()}
        )
        plain = await call(client, "encode")
        threshold = await call(client, "encode", params={"binarize": "threshold"})
    assert inverted.json()["mean"] == by_hand.json()["mean"]
    assert scaled.json()["mean"] == plain.json()["mean"]
    assert "invert" in inverted.json()["preprocessing"][0]
    assert threshold.json()["preprocessing"] != plain.json()["preprocessing"]


# Outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["format", "accept"])
@pytest.mark.parametrize(
    ("operation", "form"),
    [(name, form) for name, operation in OPERATIONS.items() for form in operation.formats],
)
async def test_every_operation_answers_in_every_form_it_offers(
    open_client: ClientFactory, operation: str, form: str, by: str
) -> None:
    asked: dict[str, Any] = {"params": {"format": form}}
    if by == "accept":
        asked = {"headers": {"Accept": MEDIA_TYPES[form]}}
    async with open_client() as client:
        response = await call(client, operation, **asked)
    assert response.headers["content-type"] == MEDIA_TYPES[form]
    model = ("mnist-labelled", "1") if operation == "classify" else ("mnist", "2")
    assert (response.headers["x-model-name"], response.headers["x-model-version"]) == model
    assert len(response.headers["x-bundle-digest"]) == 64
    assert response.headers["x-request-id"]
    assert "total;dur=" in response.headers["server-timing"]
    assert response.headers["vary"] == "Accept"
    draws = operation in ("sample", "elbo", "log-likelihood")
    assert ("x-seed" in response.headers) == draws
    takes_images = "images" in OPERATIONS[operation].takes
    assert ("x-preprocessing" in response.headers) == takes_images


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "interpolate"])
async def test_json_answers_are_what_the_schema_says(
    open_client: ClientFactory, operation: str
) -> None:
    async with open_client() as client:
        for model in ("mnist-labelled",) if operation == "classify" else ("mnist", "oracle"):
            if operation == "decode" and model == "oracle":
                continue
            response = await client.request(
                OPERATIONS[operation].method,
                f"/v1/models/{model}/{operation}",
                params={"format": "json"},
                **({} if operation == "sample" else body_of(operation)),
            )
            OPERATIONS[operation].answer.model_validate_json(response.content)


async def test_npz_holds_every_json_field_by_its_name(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for operation in OPERATIONS.values():
            params = {"seed": 1} if "seed" in operation.parameters.model_fields else {}
            as_json = (
                await call(client, operation.name, params={**params, "format": "json"})
            ).json()
            arrays = read_npz(
                (await call(client, operation.name, params={**params, "format": "npz"})).content
            )
            fields = dict(as_json)
            if operation.per_item:
                rows = fields.pop("results")
                fields |= {name: [row[name] for row in rows] for name in rows[0]}
            assert arrays.keys() == fields.keys()
            for name, value in fields.items():
                if name not in ("images", "preprocessing") and None not in np.ravel(value):
                    np.testing.assert_array_equal(
                        arrays[name], np.asarray(value, arrays[name].dtype)
                    )


async def test_the_same_seed_gives_the_same_image_in_json_png_and_npy(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:

        async def sample(**params: Any) -> httpx.Response:
            return await call(client, "sample", params={"seed": 5, "n": 1, **params})

        png = read_picture((await sample(format="png")).content)
        unit = read_npy((await sample(format="npy")).content)
        uint8 = read_npy((await sample(format="npy", dtype="uint8")).content)
        as_json = (await sample(format="json")).json()
        numbers = (await sample(format="json", encoding="float")).json()
    assert np.array_equal(png, np.floor(unit[0, 0].astype(np.float64) * 255 + 0.5))
    assert np.array_equal(png, uint8[0, 0])
    assert np.array_equal(png, read_picture(base64.b64decode(as_json["images"][0])))
    assert np.array_equal(unit, np.asarray(numbers["images"], np.float32))


async def test_several_images_make_a_grid_of_the_columns_asked_for(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        square = read_picture((await call(client, "sample", params={"n": 4})).content)
        row = read_picture((await call(client, "sample", params={"n": 4, "columns": 4})).content)
    assert square.shape == (2 * SIDE + 6, 2 * SIDE + 6)
    assert row.shape == (SIDE + 4, 4 * SIDE + 10)


async def test_an_interpolation_moves_there_and_back(open_client: ClientFactory) -> None:
    from io import BytesIO

    from PIL import Image

    async with open_client() as client:
        for form in ("webp", "gif"):
            response = await call(client, "interpolate", params={"steps": 5, "format": form})
            picture = Image.open(BytesIO(response.content))
            assert getattr(picture, "n_frames", 1) == 8


async def test_a_large_answer_is_rendered_off_the_event_loop(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(client, "sample", params={"n": 300, "seed": 1, "format": "npy"})
    assert read_npy(response.content).shape == (300, 1, SIDE, SIDE)


# What the answers say --------------------------------------------------------------------------


async def test_a_score_recomputed_by_hand_from_encode_and_decode_equals_the_served_one(
    open_client: ClientFactory,
) -> None:
    images = (PICTURES / 255).astype(np.float64)
    async with open_client() as client:
        encode = (await call(client, "encode", params={"num_samples": 50, "seed": 9})).json()
        scores = (await call(client, "elbo", params={"num_samples": 50, "seed": 9})).json()[
            "results"
        ]
        for i, score in enumerate(scores):
            decoded = await call(
                client,
                "decode",
                params={"output": "logits", "format": "npy"},
                json={"latents": encode["samples"][i]},
            )
            logits = read_npy(decoded.content).astype(np.float64)[:, 0]
            log_likelihood = (images[i] * logits - np.logaddexp(0, logits)).sum((1, 2)).mean()
            mean, std = np.asarray(encode["mean"][i]), np.asarray(encode["std"][i])
            kl = (0.5 * (std**2 + mean**2 - 1) - np.log(std)).sum()
            assert score["elbo_nats"] == pytest.approx(log_likelihood - kl, rel=1e-5)
            assert score["kl_nats"] == pytest.approx(kl, rel=1e-5)
            assert score["kl_nats"] == pytest.approx(encode["kl_nats"][i], rel=1e-6)
            bits = -score["elbo_nats"] / (SIDE * SIDE * np.log(2))
            assert score["bits_per_dim"] == pytest.approx(bits)


async def test_sixteen_samples_are_the_first_of_sixty_four(open_client: ClientFactory) -> None:
    async with open_client() as client:

        async def sample(**params: Any) -> np.ndarray:
            params = {"format": "npy", "output": "sample", **params}
            return read_npy((await call(client, "sample", params=params)).content)

        few, many = await sample(n=16, seed=1), await sample(n=64, seed=1)
        again, other = await sample(n=16, seed=1), await sample(n=16, seed=2)
        later = await sample(n=8, seed=1, first_item=16)
    assert np.array_equal(few, many[:16])
    assert np.array_equal(few, again)
    assert not np.array_equal(few, other)
    assert np.array_equal(later, many[16:24])


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 63, 64, 65, 200])
async def test_an_items_answer_is_bitwise_the_same_among_any_number_of_neighbours(
    open_client: ClientFactory, n: int
) -> None:
    pictures = binary(200, seed=3)
    async with open_client() as client:
        for operation, fields in {
            "encode": ("mean", "std", "samples"),
            "reconstruct": ("images",),
            "elbo": ("elbo_nats", "standard_error_nats"),
            "log-likelihood": ("estimate_nats", "standard_error_nats", "pareto_k"),
        }.items():
            params: dict[str, Any] = {"seed": 7, "format": "npz"}
            if operation != "reconstruct":
                params["num_samples"] = 30
            alone = await call(
                client, operation, content=npy(pictures[:1]), headers=NPY, params=params
            )
            among = await call(
                client, operation, content=npy(pictures[:n]), headers=NPY, params=params
            )
            for name in fields:
                one, many = read_npz(alone.content)[name], read_npz(among.content)[name]
                assert one[0].tobytes() == many[0].tobytes(), (operation, name)


async def test_a_list_sent_in_parts_gets_the_answers_of_the_whole(
    open_client: ClientFactory,
) -> None:
    pictures = binary(7, seed=4)
    async with open_client() as client:

        async def scores(part: slice) -> np.ndarray:
            params = {"seed": 7, "num_samples": 10, "format": "npy", "first_item": part.start}
            response = await call(
                client, "elbo", content=npy(pictures[part]), headers=NPY, params=params
            )
            return read_npy(response.content)

        whole = await scores(slice(0, 7))
        parts = np.concatenate([await scores(slice(0, 3)), await scores(slice(3, 7))])
    assert np.array_equal(whole, parts)


async def test_a_request_without_a_seed_says_the_one_it_drew(open_client: ClientFactory) -> None:
    async with open_client() as client:
        first = await call(client, "sample", params={"format": "json"})
        second = await call(client, "sample", params={"format": "json"})
        again = await call(
            client, "sample", params={"format": "json", "seed": first.json()["seed"]}
        )
    assert first.json()["seed"] == int(first.headers["x-seed"]) < 2**53
    assert first.json()["images"] != second.json()["images"]
    assert first.json() == again.json()


async def test_the_largest_seed_is_echoed_exactly(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(client, "sample", params={"format": "json", "seed": 2**63 - 1})
    assert response.json()["seed"] == 2**63 - 1


async def test_zero_temperature_gives_the_image_of_the_priors_mean(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        cold = await call(client, "sample", params={"temperature": 0, "n": 2, "format": "json"})
        mean = await call(client, "decode", json={"latents": [[0.0] * LATENTS]})
    assert cold.json()["images"] == mean.json()["images"] * 2
    assert cold.json()["is_model_sample"] is False
    assert cold.json()["output"] == "mean"


async def test_temperature_scales_latents_about_the_origin(open_client: ClientFactory) -> None:
    async with open_client() as client:
        one = await call(client, "sample", params={"seed": 1, "format": "json"})
        half = await call(
            client, "sample", params={"seed": 1, "temperature": 0.5, "format": "json"}
        )
    np.testing.assert_allclose(
        np.asarray(half.json()["latents"]), np.asarray(one.json()["latents"]) / 2, rtol=1e-6
    )
    assert one.json()["is_model_sample"] is True


async def test_a_draw_from_the_likelihood_is_in_its_support(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(
            client, "decode", params={"output": "sample", "format": "npy", "seed": 1}
        )
        colour = await client.get("/v1/models/colour/sample?output=sample&format=npy&dtype=uint8")
    assert set(np.unique(read_npy(response.content))) <= {0.0, 1.0}
    assert response.headers["x-seed"] == "1"
    assert read_npy(colour.content).shape == (16, 3, 6, 5)


async def test_interpolation_begins_and_ends_at_the_posterior_means(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        means = (await call(client, "encode")).json()["mean"]
        for path in ("linear", "spherical"):
            answer = (await call(client, "interpolate", params={"path": path, "steps": 5})).json()
            assert [answer["latents"][0], answer["latents"][-1]] == means
            assert len(answer["images"]) == answer["steps"] == 5
            assert answer["path"] == path


async def test_percentiles_rank_the_score_among_the_stored_ones(open_client: ClientFactory) -> None:
    async with open_client() as client:
        (result, _) = (await call(client, "elbo", params={"seed": 1})).json()["results"]
        other_k = (await call(client, "elbo", params={"num_samples": 10})).json()["results"][0]
        threshold = (await call(client, "elbo", params={"binarize": "threshold"})).json()[
            "results"
        ][0]
        iwae = await call(client, "log-likelihood", params={"num_samples": 200})
        metrics = (await client.get("/metrics")).text
    rank = sum(value < result["elbo_nats"] for value in REFERENCES)
    assert result["percentile"] == pytest.approx((rank + 0.5) / 100 * 100)
    assert result["reference_n"] == len(REFERENCES) == 99
    assert result["percentile_reason"] is None
    assert other_k["percentile"] is None
    assert "stored for 100" in other_k["percentile_reason"]
    assert threshold["percentile"] is None
    assert "binarised" in threshold["percentile_reason"]
    assert iwae.json()["results"][0]["percentile"] is not None
    assert 'vae_elbo_percentile_count{model="mnist"} 2.0' in metrics


async def test_a_single_sample_has_no_standard_error_and_says_so(
    open_client: ClientFactory,
) -> None:
    async with open_client() as client:
        elbo = (await call(client, "elbo", params={"num_samples": 1})).json()["results"][0]
        log_px = await call(client, "log-likelihood", params={"num_samples": 1})
    assert elbo["standard_error_nats"] is None
    assert "single sample" in elbo["reason"]
    result = log_px.json()["results"][0]
    assert result["confidence_interval_nats"] == [None, None]
    assert result["reliable"] is False


async def test_the_prior_estimator_has_no_elbo(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await call(
            client, "log-likelihood", params={"estimator": "prior", "num_samples": 50}
        )
    result = response.json()["results"][0]
    assert result["estimator"] == "prior"
    assert result["elbo_nats"] is None
    assert result["gap_lower_bound_nats"] is None
    assert result["estimate_nats"] is not None


async def test_a_density_has_no_bits_per_dim_and_says_so(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/models/oracle/elbo", json={"images": PICTURES.tolist()})
    result = response.json()["results"][0]
    assert result["bits_per_dim"] is None
    assert "density" in result["bits_per_dim_reason"]


# Caching ---------------------------------------------------------------------------------------


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


# Models ----------------------------------------------------------------------------------------


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


async def test_json_bodies_are_told_apart_from_their_parameters(open_client: ClientFactory) -> None:
    async with open_client() as client:
        response = await client.post("/v1/encode", content=b'{"seed": 1}', headers=JSON)
    assert response.status_code == 422
    assert response.json()["detail"].startswith("The body holds no images. Send {")
