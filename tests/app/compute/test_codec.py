"""Latents of the oracle, through the service."""

import numpy as np
import pytest

from tests import oracle
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, levels, npy


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
