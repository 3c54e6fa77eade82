"""Every operation of every family over HTTP: what each offers, its labels, its layers."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from app.api.model_descriptions import ModelDescription
from app.operations.table import OPERATIONS
from app.settings import Settings
from models.bundle.loading import load_bundle
from models.noise import NoiseStream
from models.vae.model import VAE
from tests.app.conftest import client_of
from tests.app.family_repository import (
    LABELLED,
    LABELS,
    MANY,
    PPCA,
    SIDE,
    exact_oracle,
    make_families,
)
from tests.app.pictures import NPY, npy, read_npy, read_npz
from tests.app.refusals import refused
from tests.models.family_cases import FAMILIES, family

pytestmark = pytest.mark.anyio

NAMES = [*FAMILIES, PPCA]
PICTURES = (np.random.default_rng(0).random((70, SIDE, SIDE)) < 0.5).astype(np.float32)
SCORES = ("elbo", "log-likelihood", "classify")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all tests here, so that one service can answer all of them."""
    return "asyncio"


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of all families; no test writes to it."""
    return make_families(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="module")
async def client(families: Path) -> Any:
    """A client of a service that serves them."""
    async with client_of(Settings(model_repository=families)) as opened:
        yield opened


def latents_of(name: str, n: int = 2) -> np.ndarray:
    """Latents that the family decodes: numbers, or a mixture's unit vectors."""
    length = 3 if name == PPCA else family(name).latent_shape[0]
    if name == "categorical":
        return np.eye(length)[np.arange(n) % length]
    return np.random.default_rng(1).normal(size=(n, length))


async def ask(
    client: httpx.AsyncClient,
    name: str,
    operation: str,
    pictures: np.ndarray | None = None,
    **params: Any,
) -> httpx.Response:
    """One operation of a family, on latents or pictures as it takes them."""
    declared = OPERATIONS[operation]
    body: dict[str, Any] = {}
    if declared.takes == ("latents",):
        body = {"content": npy(latents_of(name)), "headers": NPY}
    elif declared.takes:
        body = {"content": npy(PICTURES[:2] if pictures is None else pictures), "headers": NPY}
    path = f"/v1/models/{name}/{operation}"
    return await client.request(declared.method, path, params=params, **body)


async def answer(
    client: httpx.AsyncClient, name: str, operation: str, *args: Any, **params: Any
) -> Any:
    """The JSON of an operation that must succeed."""
    response = await ask(client, name, operation, *args, **{"format": "json", **params})
    assert response.status_code == 200, response.text
    return response.json()


def fewer_draws(operation: str) -> dict[str, int]:
    return {"num_samples": 5} if operation in SCORES else {}


def vae_of(families: Path, name: str) -> VAE:
    return load_bundle(families / name / "1").vae


# What each family offers -----------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_family_answers_exactly_what_it_offers_and_says_why_not_the_rest(
    client: httpx.AsyncClient, name: str, operation: str
) -> None:
    described = ModelDescription.model_validate_json(
        (await client.get(f"/v1/models/{name}")).content
    )
    label = {"label": "bee"} if name in LABELLED and operation in ("decode", "interpolate") else {}
    params = {"seed": 1, **label, **fewer_draws(operation)}
    if operation == "interpolate":
        del params["seed"]
    response = await ask(client, name, operation, format="json", **params)
    if operation not in [offered.name for offered in described.operations]:
        missing = [need for need in OPERATIONS[operation].needs if need in described.lacks]
        detail = refused(response, 409, "unsupported-operation")["detail"]
        assert missing
        assert all(described.lacks[need] in detail for need in missing)
        return
    assert response.status_code == 200, response.text
    OPERATIONS[operation].answer.model_validate_json(response.content)
    fields = response.json()
    fields.pop("preprocessing_steps", None)  # `preprocessing` says the same
    assert ("label_used" in fields) == (name in LABELLED)
    assert ("seed" in fields) == ("x-seed" in response.headers)
    for form in set(OPERATIONS[operation].formats) - {"json"}:
        other = await ask(client, name, operation, format=form, **params)
        assert other.status_code == 200, other.text
        if form == "npz":
            arrays = read_npz(other.content)
            fields.pop("preprocessing_steps", None)  # `preprocessing` says the same
            rows = fields.pop("results", None)
            fields |= {} if rows is None else {key: None for key in rows[0]}
            nulls = {"std", "kl_nats"} & {key for key, value in fields.items() if value is None}
            assert arrays.keys() == fields.keys() - (nulls if rows is None else set())


@pytest.mark.parametrize(
    ("name", "operation", "params", "reason"),
    [
        ("autoencoder", "elbo", {}, "it is an autoencoder, which has no likelihood"),
        ("autoencoder", "log-likelihood", {}, "it is an autoencoder, which has no likelihood"),
        ("autoencoder", "sample", {}, "it is an autoencoder, which has no likelihood"),
        (
            "autoencoder",
            "decode",
            {"output": "sample"},
            "cannot decode with output=sample: it is an",
        ),
        (
            "autoencoder",
            "reconstruct",
            {"output": "sample"},
            "it is an autoencoder, which has no likelihood",
        ),
        ("autoencoder", "encode", {"num_samples": 3}, "cannot encode with num_samples=3: it is an"),
        (
            "autoencoder",
            "decode",
            {"output": "logits"},
            "cannot decode with output=logits: it is an",
        ),
        ("categorical", "encode", {}, "it is a mixture, whose components `classify` weighs"),
        ("categorical", "reconstruct", {}, "it is a mixture, whose components `classify` weighs"),
        ("categorical", "interpolate", {}, "it is a mixture, whose components `classify` weighs"),
        ("standard", "classify", {}, "it was trained without labels"),
        ("standard", "encode", {"label": "ant"}, "it was trained without labels"),
        ("standard", "log-likelihood", {"estimator": "exact"}, "posterior is an approximation"),
        ("vamp", "interpolate", {"path": "spherical"}, "its prior is of the kind vamp"),
        (PPCA, "decode", {"output": "logits"}, "its likelihood is of the kind normal"),
    ],
)
async def test_a_refusal_says_what_is_missing_and_why(
    client: httpx.AsyncClient, name: str, operation: str, params: dict[str, Any], reason: str
) -> None:
    response = await ask(client, name, operation, **params)
    assert reason in refused(response, 409, "unsupported-operation")["detail"]


async def test_a_description_has_labels_layers_and_abilities(client: httpx.AsyncClient) -> None:
    labelled = (await client.get("/v1/models/m2")).json()
    layered = (await client.get("/v1/models/conv-ladder")).json()
    point = (await client.get("/v1/models/autoencoder")).json()
    assert labelled["labels"] == list(LABELS)
    assert labelled["label_probabilities"] == pytest.approx([1 / 3] * 3)
    assert {"labels", "classes", "label_posterior"} <= set(labelled["capabilities"])
    assert layered["latent_groups"] == [
        {"name": "z1", "start": 0, "stop": 8, "shape": [2, 2, 2]},
        {"name": "z2", "start": 8, "stop": 10, "shape": [2]},
    ]
    assert layered["label_probabilities"] == layered["labels"] == []
    assert set(point["capabilities"]) == {"encoder", "decoder"}
    assert [offered["name"] for offered in point["operations"]] == [
        "encode",
        "decode",
        "reconstruct",
        "interpolate",
    ]


# Labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELLED)
async def test_a_labels_name_and_its_index_mean_the_same(
    client: httpx.AsyncClient, name: str
) -> None:
    for operation in ("encode", "decode", "reconstruct", "sample", "interpolate", *SCORES[:2]):
        params = {} if operation == "interpolate" else {"seed": 1}
        by_name, by_index, other = [
            await answer(client, name, operation, label=label, **params, **fewer_draws(operation))
            for label in ("bee", "1", "2")
        ]
        assert by_name == by_index
        assert by_name != other
        assert set(by_name["label_used"]) == {"bee"}
        count = {"sample": 16, "interpolate": 8}.get(operation, 2)
        assert len(by_name["label_used"]) == count


async def test_a_label_in_json_may_be_a_number(client: httpx.AsyncClient) -> None:
    answers = [
        (
            await client.post(
                "/v1/models/m2/encode", json={"images": PICTURES[:1].tolist(), "label": label}
            )
        ).json()
        for label in ("bee", 1, "1")
    ]
    assert answers[0] == answers[1] == answers[2]


async def test_an_unknown_label_is_refused_with_the_known_ones(client: httpx.AsyncClient) -> None:
    for label in ("dog", "3", "-1", "1.0", ""):
        response = await ask(client, "m2", "sample", label=label)
        assert "ant, bee, cat" in refused(response, 422, "invalid-parameter")["detail"]


async def test_latents_need_the_label_that_they_are_decoded_with(
    client: httpx.AsyncClient,
) -> None:
    latents = {"latents": [[0.0, 0.0]] * 2}
    for operation in ("decode", "interpolate"):
        path = f"/v1/models/labelled/{operation}"
        detail = refused(await client.post(path, json=latents), 422, "invalid-parameter")["detail"]
        assert "label is missing" in detail
        assert "Add label=ant; it has ant, bee, cat." in detail
        assert (await client.post(f"{path}?label=ant", json=latents)).status_code == 200


@pytest.mark.parametrize("name", LABELLED)
async def test_images_without_a_label_take_their_most_probable_one(
    client: httpx.AsyncClient, name: str
) -> None:
    free = await answer(client, name, "encode", PICTURES[:20])
    pictures = await answer(client, name, "reconstruct", PICTURES[:20], encoding="float")
    assert free["label_used"] == pictures["label_used"]
    assert set(free["label_used"]) <= set(LABELS)
    if name == "m2":
        classified = await answer(client, name, "classify", PICTURES[:20])
        assert free["label_used"] == [result["label"] for result in classified["results"]]
        assert len(set(free["label_used"])) > 1
    for label in set(free["label_used"]):
        given = await answer(client, name, "encode", PICTURES[:20], label=label)
        for i, used in enumerate(free["label_used"]):
            if used == label:
                assert free["mean"][i] == given["mean"][i]
                assert free["kl_nats"] is None or free["kl_nats"][i] == given["kl_nats"][i]


async def test_images_of_two_labels_are_interpolated_under_neither(
    client: httpx.AsyncClient,
) -> None:
    used = (await answer(client, "m2", "encode", PICTURES))["label_used"]
    other = next(i for i, label in enumerate(used) if label != used[0])
    same = next(i for i, label in enumerate(used[1:], start=1) if label == used[0])
    apart, alike = PICTURES[[0, other]], PICTURES[[0, same]]
    response = await ask(client, "m2", "interpolate", apart)
    detail = refused(response, 422, "invalid-parameter")["detail"]
    assert f"images are {used[0]} and {used[other]}, and a path has one label" in detail
    assert f"Add label={used[0]} or label={used[other]}." in detail
    assert (await answer(client, "m2", "interpolate", alike))["label_used"] == [used[0]] * 8
    given = await answer(client, "m2", "interpolate", apart, label="cat")
    assert given["label_used"] == ["cat"] * 8


@pytest.mark.parametrize(
    "name", [*LABELLED, "two-layers", "ladder", "mixture", "vamp", "categorical"]
)
async def test_sixteen_samples_are_the_first_of_sixty_four_with_their_labels(
    client: httpx.AsyncClient, name: str
) -> None:
    async def sample(**params: Any) -> dict[str, np.ndarray]:
        response = await ask(client, name, "sample", format="npz", output="sample", **params)
        return read_npz(response.content)

    few, many = await sample(n=16, seed=1), await sample(n=100, seed=1)
    later = await sample(n=8, seed=1, first_item=64)
    names = ("images", "latents", *(["label_used"] if name in LABELLED else []))
    for field in names:
        assert np.array_equal(few[field], many[field][:16])
        assert np.array_equal(later[field], many[field][64:72])
    if name in LABELLED:
        drawn = [int(np.sum(many["label_used"] == label)) for label in LABELS]
        assert sum(drawn) == 100
        assert min(drawn) > 15  # a third each, to five standard deviations


async def test_labels_are_drawn_as_often_as_their_probabilities_say(
    client: httpx.AsyncClient,
) -> None:
    drawn = await answer(client, MANY, "sample", n=1000, seed=3)
    counts = np.bincount(np.array(drawn["label_used"], int), minlength=25)
    assert abs(counts[0] - 500) < 80  # five standard deviations
    assert abs(counts[1:] - 500 / 24).max() < 23
    described = (await client.get(f"/v1/models/{MANY}")).json()
    assert described["label_probabilities"][0] == 0.5


async def test_of_many_labels_twenty_are_named(client: httpx.AsyncClient) -> None:
    response = await ask(client, MANY, "sample", label="25")
    detail = refused(response, 422, "invalid-parameter")["detail"]
    assert "18, 19 and 5 more (GET /v1/models/many)" in detail
    assert (await answer(client, MANY, "sample", label="24"))["label_used"] == ["24"] * 16


# Scores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELLED)
async def test_log_px_sums_over_the_labels_with_the_same_noise(
    client: httpx.AsyncClient, name: str
) -> None:
    for estimator in ("iwae", "prior"):
        params = {"num_samples": 1, "seed": 4, "estimator": estimator}
        free = await answer(client, name, "log-likelihood", **params)
        given = [
            await answer(client, name, "log-likelihood", label=label, **params) for label in LABELS
        ]
        assert free["label_used"] is None
        for i in range(2):
            by_label = [of["results"][i]["estimate_nats"] - np.log(3) for of in given]
            total = np.logaddexp.reduce(by_label)
            assert free["results"][i]["estimate_nats"] == pytest.approx(total, rel=1e-6)


async def test_the_elbo_without_a_label_is_m2s_own(client: httpx.AsyncClient) -> None:
    params = {"num_samples": 6, "seed": 4}
    free = await answer(client, "m2", "elbo", **params)
    given = [await answer(client, "m2", "elbo", label=label, **params) for label in LABELS]
    classes = await answer(client, "m2", "classify")
    assert free["label_used"] is None
    assert given[1]["label_used"] == ["bee", "bee"]
    for i, result in enumerate(free["results"]):
        q = np.array(classes["results"][i]["probabilities"])
        bounds = [of["results"][i]["elbo_nats"] for of in given]
        label_kl = float(np.sum(q * np.log(q * 3)))
        assert result["label_kl_nats"] == pytest.approx(label_kl, abs=1e-5)
        assert result["elbo_nats"] == pytest.approx(q @ bounds - label_kl, rel=1e-5)
        assert given[0]["results"][i]["label_kl_nats"] is None


async def test_a_score_under_a_label_has_no_percentile_and_says_so(
    client: httpx.AsyncClient,
) -> None:
    free = await answer(client, "m2", "log-likelihood", num_samples=7)
    given = await answer(client, "m2", "log-likelihood", num_samples=7, label="ant")
    assert free["results"][0]["percentile"] is not None
    assert given["results"][0]["percentile"] is None
    assert "log p(x|y)" in given["results"][0]["percentile_reason"]


async def test_the_exact_estimator_is_the_dense_value(client: httpx.AsyncClient) -> None:
    oracle = exact_oracle()
    x = ((oracle.draw(70).clamp(0, 1) * 255).round() / 255).squeeze(1).numpy()
    wanted = oracle.log_px(torch.from_numpy(x)[:, None]).numpy()
    response = await ask(client, PPCA, "log-likelihood", x, estimator="exact")
    assert "x-seed" not in response.headers
    fields = response.json()
    assert "seed" not in fields
    for result, want in zip(fields["results"], wanted, strict=True):
        assert result["estimate_nats"] == pytest.approx(want, rel=1e-5, abs=1e-4)
        assert result["reliable"] is True
        assert result["standard_error_nats"] == 0
        assert result["num_samples"] == 1
        assert result["reference_n"] == 4
        assert result["percentile"] is not None


async def test_a_mixtures_likelihood_is_exact_and_its_components_weigh_it(
    client: httpx.AsyncClient, families: Path
) -> None:
    vae = vae_of(families, "categorical")
    count = vae.num_latents
    logits = read_npy(
        (
            await client.post(
                "/v1/models/categorical/decode?output=logits&format=npy",
                content=npy(np.eye(count)),
                headers=NPY,
            )
        ).content
    )[:, 0].astype(np.float64)
    x = PICTURES[:70, None].astype(np.float64)
    given = (x * logits - np.logaddexp(0, logits)).sum((-1, -2))
    joint = given + vae.prior().log_probs.double().numpy()  # type: ignore[union-attr]
    total = np.logaddexp.reduce(joint, axis=1)
    for estimator, k in (("exact", 9), ("iwae", 3)):
        scored = await answer(
            client, "categorical", "log-likelihood", PICTURES, estimator=estimator, num_samples=k
        )
        found = [result["estimate_nats"] for result in scored["results"]]
        np.testing.assert_allclose(found, total, rtol=1e-5)
    classified = await answer(client, "categorical", "classify", PICTURES)
    assert classified["method"] == "components"
    assert classified["labels"] == [str(i) for i in range(count)]
    assert "seed" not in classified
    found = [result["probabilities"] for result in classified["results"]]
    np.testing.assert_allclose(found, np.exp(joint - total[:, None]), atol=1e-5)


async def test_a_mixture_decodes_unit_vectors_alone(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/models/categorical/decode", json={"latents": [[1.0, 0.0], [0.5, 0.5]]}
    )
    problem = refused(response, 422, "out-of-support")
    assert problem["items"] == [{"index": 1, "reason": "no unit vector"}]


async def test_zero_temperature_still_chooses_a_component(
    client: httpx.AsyncClient, families: Path
) -> None:
    drawn = await answer(client, "mixture", "sample", n=30, seed=1, temperature=0)
    places: Any = vae_of(families, "mixture").prior()
    distances = np.abs(np.array(drawn["latents"])[:, None] - places.components.loc.numpy())
    nearest = distances.sum(-1)
    assert np.all(nearest.min(1) < 1e-6)
    assert len(set(nearest.argmin(1).tolist())) == 3
    assert drawn["is_model_sample"] is False


# Classes ---------------------------------------------------------------------------------------


async def test_a_classifiers_answer_is_its_softmax(
    client: httpx.AsyncClient, families: Path
) -> None:
    response = await ask(client, "m2", "classify", PICTURES)
    fields = response.json()
    logits = vae_of(families, "m2").label_logits(torch.from_numpy(PICTURES)[:, None])
    wanted = logits.softmax(-1).numpy()
    found = np.array([result["probabilities"] for result in fields["results"]])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert fields["labels"] == list(LABELS)
    assert fields["method"] == "classifier"
    assert fields.keys().isdisjoint({"seed", "num_samples"})
    best = [LABELS[i] for i in wanted.argmax(1)]
    assert [result["label"] for result in fields["results"]] == best
    as_npy = await ask(client, "m2", "classify", PICTURES, format="npy")
    np.testing.assert_allclose(read_npy(as_npy.content), found, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LABELLED if name != "m2"])
async def test_without_a_classifier_classes_follow_from_bayes_rule(
    client: httpx.AsyncClient, families: Path, name: str
) -> None:
    vae = vae_of(families, name).double()
    fields = await answer(client, name, "classify", num_samples=11, seed=5, first_item=3)
    for i, result in enumerate(fields["results"]):
        x = torch.from_numpy(PICTURES[i : i + 1])[:, None].double()
        noise = NoiseStream(5, 3 + i, "label").normal(11, 1, *vae.latent_shape)
        log_px = torch.stack(
            [
                vae.log_weights(x, torch.from_numpy(noise), torch.tensor([y])).logsumexp(0)[0]
                for y in range(3)
            ]
        )
        wanted = log_px.softmax(0).numpy()  # p(y) is uniform
        np.testing.assert_allclose(result["probabilities"], wanted, atol=1e-4)
    assert fields["method"] == "bayes"
    assert (fields["seed"], fields["num_samples"]) == (5, 11)


async def test_classes_take_no_label(client: httpx.AsyncClient) -> None:
    response = await ask(client, "m2", "classify", label="ant")
    assert (
        "classify has no parameter 'label'. It has num_samples,"
        in refused(response, 422, "invalid-parameter")["detail"]
    )


# Layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two-layers", "ladder", "conv-ladder", "labelled-ladder"])
async def test_layers_are_slices_and_the_mean_is_ancestral(
    client: httpx.AsyncClient, families: Path, name: str
) -> None:
    encoded = await answer(client, name, "encode", num_samples=2, seed=1)
    scored = await answer(client, name, "elbo", num_samples=40, seed=1)
    sizes = [int(np.prod(shape)) for shape in family(name).latent_groups]
    assert [group["stop"] - group["start"] for group in encoded["groups"]] == sizes
    assert encoded["mean_kind"] == "ancestral"
    assert encoded["kl_nats"] is None
    assert np.shape(encoded["samples"]) == (2, 2, sum(sizes))
    for result in scored["results"]:
        parts = sum(result["kl_per_group_nats"]) + (result["label_kl_nats"] or 0)
        assert len(result["kl_per_group_nats"]) == len(sizes)
        assert result["kl_nats"] == pytest.approx(parts, rel=1e-6)
        assert result["kl_method"] == "monte_carlo"


async def test_an_autoencoders_latent_has_no_spread(client: httpx.AsyncClient) -> None:
    encoded = await answer(client, "autoencoder", "encode")
    assert encoded["std"] is None
    assert encoded["kl_nats"] is None
    assert encoded["mean_kind"] == "posterior"
    assert "groups" not in encoded


# Rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*LABELLED, "two-layers", "conv-ladder", "categorical", PPCA])
async def test_an_items_answer_is_bitwise_the_same_among_any_number_of_neighbours(
    client: httpx.AsyncClient, name: str
) -> None:
    offered = [
        operation["name"]
        for operation in (await client.get(f"/v1/models/{name}")).json()["operations"]
    ]
    for operation in {"encode", "reconstruct", *SCORES} & set(offered):
        params: dict[str, Any] = {"seed": 7, "format": "npz", **fewer_draws(operation)}
        answers = [
            read_npz((await ask(client, name, operation, PICTURES[:n], **params)).content)
            for n in (1, 2, 17, 70)
        ]
        for field, first in answers[0].items():
            if first.ndim and field not in OPERATIONS[operation].shared:
                same = {many[field][0].tobytes() for many in answers}
                assert len(same) == 1, (operation, field)
