"""Scores over HTTP: the ELBO by hand, percentiles, and the reasons for what is missing."""

import numpy as np
import pytest

from tests.app.api.calls import PICTURES, call
from tests.app.conftest import ClientFactory
from tests.app.pictures import read_npy
from tests.app.repository import REFERENCES, SIDE

pytestmark = pytest.mark.anyio


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
    assert result["percentile"] == pytest.approx((rank + 1) / 100 * 100)
    assert result["reference_n"] == len(REFERENCES) == 99
    assert result["percentile_reason"] is None
    assert other_k["percentile"] is None
    assert "stored for num_samples=100" in other_k["percentile_reason"]
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
    assert result["bound_interval_nats"] == result["log_px_interval_nats"] == [None, None]
    assert result["lower_bound_95_nats"] < result["estimate_nats"]
    assert result["weights_look_regular"] is False
    assert "1 sample is too few" in result["reason"]


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
