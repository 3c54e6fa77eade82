"""Operations on arrays: the oracle through the service."""

import numpy as np
import pytest
from torch import Tensor

from app.compute.table import COMPUTE
from app.operations.table import OPERATIONS
from tests import oracle
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, npy


def levels(x: Tensor) -> Tensor:
    """Observations as the image spec has them: of 256 levels in 0..1."""
    return ((x.clamp(0, 1) * 255).round() / 255).float()


@pytest.mark.anyio
async def test_scores_of_the_oracle_agree_with_the_exact_ones_within_their_errors(
    open_client: ClientFactory,
) -> None:
    exact = oracle.instance("medium")
    x = levels(exact.draw(40))
    body = {"content": npy(x.numpy()), "headers": NPY}
    elbo, kl = exact.elbo(x).numpy(), exact.kl(x).numpy()
    log_px = exact.log_px(x).numpy()
    async with open_client() as client:
        response = await client.post("/v1/models/oracle/elbo?num_samples=2000&seed=1", **body)
        for result, want, want_kl in zip(response.json()["results"], elbo, kl, strict=True):
            assert abs(result["elbo_nats"] - want) < 5 * result["standard_error_nats"] + 1e-4
            assert result["kl_nats"] == pytest.approx(want_kl, rel=1e-5)
        for estimator in ("iwae", "prior"):
            query = f"num_samples=5000&seed=1&estimator={estimator}"
            response = await client.post(f"/v1/models/oracle/log-likelihood?{query}", **body)
            results = response.json()["results"]
            assert len(results) == 40
            for result, want in zip(results, log_px, strict=True):
                if result["reliable"]:
                    error = abs(result["estimate_nats"] - want)
                    assert error < 5 * result["standard_error_nats"] + 1e-4
            if estimator == "iwae":
                assert all(result["interval_covers"] == "log_px" for result in results)
                gaps = [result["gap_lower_bound_nats"] for result in results]
                assert np.mean(gaps) == pytest.approx(exact.gap(), rel=0.1)


@pytest.mark.anyio
async def test_the_oracles_posterior_is_the_exact_one(open_client: ClientFactory) -> None:
    exact = oracle.instance("medium")
    x = levels(exact.draw(5))
    loc, scale = exact.exact_posterior(x)
    async with open_client() as client:
        response = await client.post(
            "/v1/models/oracle/encode", content=npy(x.numpy()), headers=NPY
        )
    answer = response.json()
    shifted = loc.numpy() + exact.posterior_shift * scale.numpy()
    np.testing.assert_allclose(answer["mean"], shifted, atol=1e-5)
    wanted = np.broadcast_to(scale.numpy() * exact.posterior_scale, (5, 8))
    np.testing.assert_allclose(answer["std"], wanted, rtol=1e-5)


def test_every_operation_has_its_computation() -> None:
    assert COMPUTE.keys() == OPERATIONS.keys()
