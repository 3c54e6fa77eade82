"""Scores of every family over HTTP, against other ways to the same numbers."""

from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from models.estimators.annealed_chains import Annealing
from models.estimators.annealing import estimate_annealed_log_px
from models.scores.kinds import AnnealingStart
from tests.app.families.family_calls import PICTURES, answer, ask, vae_of
from tests.app.family_repository import LABELLED, LABELS, PPCA, exact_oracle
from tests.app.pictures import NPY, npy, read_npy, read_npz

pytestmark = pytest.mark.anyio

FEW = PICTURES[:3]


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
        assert result["weights_look_regular"] is True
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


async def test_a_refined_score_splits_the_gap_and_has_no_percentile(
    client: httpx.AsyncClient,
) -> None:
    asked = {"num_samples": 50, "inference": "refined", "seed": 3}
    refined = await answer(client, "standard", "log-likelihood", **asked)
    amortised = await answer(client, "standard", "log-likelihood", num_samples=50)
    for result, plain in zip(refined["results"], amortised["results"], strict=True):
        assert (result["inference"], plain["inference"]) == ("refined", "amortised")
        gap = result["elbo_nats"] - result["amortised_elbo_nats"]
        assert result["amortisation_gap_nats"] == pytest.approx(gap, abs=1e-6)
        assert result["num_modes"] >= 1
        assert plain["num_modes"] is plain["amortisation_gap_nats"] is None
        assert result["percentile"] is None
        assert "encoder's draws" in result["percentile_reason"]


@pytest.mark.parametrize(
    ("name", "asked", "status", "parameter"),
    [
        ("standard", {"estimator": "prior"}, 422, "estimator"),
        ("categorical", {}, 409, "inference"),
    ],
)
async def test_a_score_that_cannot_be_refined_is_refused(
    client: httpx.AsyncClient, name: str, asked: dict[str, str], status: int, parameter: str
) -> None:
    params = {"num_samples": 2, "inference": "refined", **asked}
    response = await ask(client, name, "log-likelihood", **params)
    assert response.status_code == status
    assert response.json()["parameter"] == parameter


@pytest.mark.parametrize("name", ["standard", "two-layers", "labelled"])
async def test_a_refined_elbo_says_what_the_encoder_loses(
    client: httpx.AsyncClient, name: str
) -> None:
    asked = {"num_samples": 20, "seed": 3}
    refined = await answer(client, name, "elbo", inference="refined", **asked)
    amortised = await answer(client, name, "elbo", **asked)
    for result, plain in zip(refined["results"], amortised["results"], strict=True):
        assert (result["inference"], plain["inference"]) == ("refined", "amortised")
        assert result["amortised_elbo_nats"] == pytest.approx(plain["elbo_nats"], rel=1e-6)
        gap = result["elbo_nats"] - plain["elbo_nats"]
        assert result["amortisation_gap_nats"] == pytest.approx(gap, abs=1e-4)
        parts = result["expected_log_likelihood_nats"] - result["kl_nats"]
        assert result["elbo_nats"] == pytest.approx(parts, abs=1e-4)
        assert result["kl_per_dimension_nats"] is result["kl_per_group_nats"] is None
        assert result["num_modes"] >= 1
        assert result["percentile"] is None
        assert "not of refined ones" in result["percentile_reason"]


@pytest.mark.parametrize("name", ["standard", "two-layers", "m2"])
async def test_a_refined_encoding_is_of_the_image_alone(
    client: httpx.AsyncClient, name: str
) -> None:
    asked = {"inference": "refined", "seed": 3, "num_samples": 2}
    whole = await answer(client, name, "encode", PICTURES[:3], **asked)
    one = await answer(client, name, "encode", PICTURES[2:3], first_item=2, **asked)
    for field in ("mean", "std", "samples", "num_modes"):
        assert whole[field][2] == one[field][0]
    assert (whole["mean_kind"], whole["seed"]) == ("posterior", 3)
    assert ("groups" in whole) == (name == "two-layers")
    assert (whole["kl_nats"] is None) == (name == "two-layers")
    assert ("label_used" in whole) == (name == "m2")
    plain = await answer(client, name, "encode", PICTURES[:3], inference="refined", seed=3)
    assert "samples" not in plain
    assert plain["mean"] == whole["mean"]
    arrays = read_npz((await ask(client, name, "encode", format="npz", **asked)).content)
    assert arrays["mean"].shape == arrays["std"].shape == (2, len(whole["mean"][0]))
    assert arrays["samples"].shape[:2] == (2, 2)
    assert arrays["num_modes"].tolist() == whole["num_modes"][:2]


async def test_what_has_no_posterior_cannot_be_encoded_refined(client: httpx.AsyncClient) -> None:
    response = await ask(client, "autoencoder", "encode", inference="refined")
    assert response.status_code == 409
    assert "inference=refined" in response.json()["detail"]


async def test_a_log_likelihood_that_names_no_draws_goes_to_a_tolerance(
    client: httpx.AsyncClient,
) -> None:
    default = await answer(client, "standard", "log-likelihood", seed=3)
    named = await answer(client, "standard", "log-likelihood", seed=3, tolerance_nats=0.1)
    assert default == named
    alone = await ask(
        client, "standard", "log-likelihood", PICTURES[1:2], seed=3, first_item=1, format="json"
    )
    assert alone.json()["results"][0] == default["results"][1]
    for result in default["results"]:
        assert result["tolerance_nats"] == 0.1
        assert result["max_num_samples"] == 3000
        assert result["tolerance_met"] == (result["tolerance_reason"] is None)
        assert result["decodings"] > result["num_samples"] >= 150
        assert result["standard_error_nats"] <= 0.1
        assert result["percentile"] is None
        assert "not of a tolerance" in result["percentile_reason"]
    arrays = read_npz((await ask(client, "standard", "log-likelihood", format="npz")).content)
    assert arrays["tolerance_met"].dtype == bool
    assert arrays["num_samples"].shape == arrays["decodings"].shape == (2,)


@pytest.mark.parametrize(
    ("asked", "fixed"),
    [
        ({"num_samples": 1000}, {"inference": "amortised"}),
        ({"inference": "amortised"}, {"num_samples": 1000}),
        ({"estimator": "prior"}, {"num_samples": 1000}),
    ],
)
async def test_naming_the_draws_fixes_their_number(
    client: httpx.AsyncClient, asked: dict[str, str], fixed: dict[str, str]
) -> None:
    found = await answer(client, "standard", "log-likelihood", seed=3, **asked)
    assert found == await answer(client, "standard", "log-likelihood", seed=3, **asked, **fixed)
    for result in found["results"]:
        assert result["num_samples"] == 1000
        assert result["tolerance_nats"] is result["tolerance_met"] is result["decodings"] is None


async def test_a_limit_of_the_draws_says_what_would_do(client: httpx.AsyncClient) -> None:
    asked = {"seed": 3, "tolerance_nats": 0.001, "num_samples": 120, "inference": "amortised"}
    found = await answer(client, "standard", "log-likelihood", **asked)
    for result in found["results"]:
        assert (result["num_samples"], result["max_num_samples"]) == (120, 120)
        assert result["inference"] == "amortised"
        assert result["tolerance_met"] is False
        assert f"num_samples={result['num_samples_needed']}" in result["tolerance_reason"]


async def test_every_family_is_scored_to_a_tolerance(client: httpx.AsyncClient) -> None:
    for name in ("categorical", PPCA, "two-layers", "labelled"):
        found = await answer(client, name, "log-likelihood", seed=3)
        assert all(result["tolerance_met"] for result in found["results"]), name


async def test_a_tolerance_is_of_draws_of_the_posterior(client: httpx.AsyncClient) -> None:
    response = await ask(
        client, "standard", "log-likelihood", tolerance_nats=0.1, estimator="prior"
    )
    assert response.status_code == 422
    assert response.json()["parameter"] == "estimator"
    assert "tolerance_nats" in response.json()["detail"]


async def test_an_exact_value_streams_alone(client: httpx.AsyncClient) -> None:
    whole = await ask(client, "categorical", "log-likelihood", FEW, estimator="exact")
    streamed = await ask(
        client, "categorical", "log-likelihood", FEW, estimator="exact", format="ndjson"
    )
    assert streamed.content == whole.content + b"\n"


@pytest.mark.parametrize(
    ("name", "inference", "label"),
    [("standard", "amortised", None), ("standard", "refined", None), ("m2", "amortised", "bee")],
)
async def test_an_annealed_score_is_that_of_the_estimator(
    client: httpx.AsyncClient, families: Path, name: str, inference: str, label: str | None
) -> None:
    asked = {"estimator": "ais", "ais_steps": 4, "inference": inference, "seed": 3, "first_item": 2}
    asked |= {} if label is None else {"label": label}
    answered = await answer(client, name, "log-likelihood", FEW, **asked)
    start: AnnealingStart = "refined" if inference == "refined" else "posterior"
    found = estimate_annealed_log_px(
        vae_of(families, name),
        torch.from_numpy(FEW[:, None]),
        seed=3,
        first_item=2,
        settings=Annealing(start, num_steps=4),
        y=None if label is None else torch.full((len(FEW),), LABELS.index(label)),
    )
    for i, result in enumerate(answered["results"]):
        for field in ("estimate_nats", "lower_bound_95_nats", "acceptance_rate"):
            assert result[field] == pytest.approx(float(getattr(found, field)[i]), rel=1e-9)
        assert (result["estimator"], result["num_samples"]) == ("ais", 16)
        assert result["inference"] == inference
        assert result["lower_bound_95_nats"] < result["estimate_nats"]
        assert result["log_px_interval_nats"] == result["bound_interval_nats"] == [None, None]
        assert result["weights_look_regular"] is False
        assert "16 chains are too few" in result["reason"]
        assert result["elbo_nats"] is result["percentile"] is None
    streamed = await ask(client, name, "log-likelihood", FEW, format="ndjson", **asked)
    assert streamed.content.count(b"\n") == 1


@pytest.mark.parametrize(
    ("name", "asked", "status", "parameter"),
    [
        ("standard", {"ais_chains": 20}, 422, "ais_chains"),
        ("standard", {"ais_chains": 80}, 413, "ais_chains"),
        ("standard", {"ais_steps": 1001}, 413, "ais_steps"),
        ("labelled", {}, 409, None),
        ("labelled", {"inference": "refined"}, 409, None),
        ("categorical", {}, 409, None),
    ],
)
async def test_a_score_that_cannot_be_annealed_is_refused(
    client: httpx.AsyncClient, name: str, asked: dict[str, object], status: int, parameter: str
) -> None:
    response = await ask(client, name, "log-likelihood", estimator="ais", **asked)
    assert response.status_code == status
    assert response.json().get("parameter") == parameter
