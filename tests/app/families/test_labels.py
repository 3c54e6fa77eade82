"""Labels over HTTP: which are taken, used, drawn and found."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from models.noise import NoiseStream
from tests.app.families.family_calls import PICTURES, SCORES, answer, ask, fewer_draws, vae_of
from tests.app.family_repository import LABELLED, LABELS, MANY
from tests.app.pictures import read_npy, read_npz
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


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
