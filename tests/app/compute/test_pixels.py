"""`elbo?pixels=true`: what each pixel adds to the reconstruction term, and nothing else changed."""

import numpy as np
import pytest

from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, binary, npy, read_npz

pytestmark = pytest.mark.anyio
FIELD = "pixel_log_likelihood_nats"


@pytest.mark.parametrize("model", ["mnist", "mnist-labelled", "colour"])
async def test_the_pixels_sum_to_the_reconstruction_term(
    open_client: ClientFactory, model: str
) -> None:
    async def ask(count: int = 5, **params: object) -> object:
        given = {"num_samples": 7, "seed": 3, **params}
        body = npy(binary(5)[:count])
        url = f"/v1/models/{model}/elbo"
        return await client.post(url, content=body, headers=NPY, params=given)

    async with open_client() as client:
        plain, found = (await ask()).json(), (await ask(pixels=True)).json()
        npys = [(await ask(pixels=asked, format="npy")).content for asked in (True, False)]
        arrays = read_npz((await ask(pixels=True, format="npz")).content)
        alone = (await ask(1, pixels=True)).json()["results"]
        shape = (await client.get(f"/v1/models/{model}")).json()["image_shape"][1:]
    assert npys[0] == npys[1]
    assert alone == found["results"][:1]
    for before, result in zip(plain["results"], found["results"], strict=True):
        assert before[FIELD] is None
        pixels = np.asarray(result[FIELD])
        assert pixels.shape == tuple(shape)
        assert pixels.sum() == pytest.approx(result["expected_log_likelihood_nats"], rel=1e-6)
        assert {**result, FIELD: None} == before
    assert arrays[FIELD].tolist() == [result[FIELD] for result in found["results"]]
