"""Latents and reconstructions of the oracle, through the service."""

import numpy as np
import pytest

from models.estimators.reconstruction import picture_errors
from tests import oracle
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, levels, npy, read_npz


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


@pytest.mark.anyio
async def test_reconstructions_come_with_their_errors_on_request(
    open_client: ClientFactory,
) -> None:
    exact = oracle.instance("medium")
    x = levels(exact.draw(5))
    loc, scale = exact.exact_posterior(x)
    z = loc + exact.posterior_shift * scale
    picture = (z @ exact.loading.T + exact.bias).reshape(x.shape)
    wanted = picture_errors(x, picture, unit_scale=1.0)
    url, asked = "/v1/models/oracle/reconstruct", {"content": npy(x.numpy()), "headers": NPY}
    async with open_client() as client:
        plain = (await client.post(url, **asked)).json()
        found = (await client.post(f"{url}?with_error=true", **asked)).json()
        arrays = read_npz((await client.post(f"{url}?with_error=true&format=npz", **asked)).content)
        drawn = await client.post(f"{url}?with_error=true&output=sample&seed=1", **asked)
    assert not {"squared_error", "ssim"} & plain.keys()
    assert found["images"] == plain["images"]
    np.testing.assert_allclose(found["squared_error"], wanted.squared_error, rtol=1e-4)
    np.testing.assert_allclose(found["ssim"], wanted.ssim, rtol=1e-4)
    assert arrays["ssim"].tolist() == pytest.approx(found["ssim"])
    assert arrays["squared_error"].shape == (5,)
    # of the answered images, here draws, which are farther away than their means
    assert min(drawn.json()["squared_error"]) > max(found["squared_error"])
