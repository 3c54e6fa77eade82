"""Drift over HTTP: the metric and the model's description after a window of pictures."""

import numpy as np
import pytest

from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, binary, npy

pytestmark = pytest.mark.anyio

WINDOW = 50
BITS = binary(WINDOW, seed=3)


async def test_a_window_of_pictures_unlike_the_good_ones_is_a_drift(
    open_client: ClientFactory,
) -> None:
    async with open_client(drift_window=WINDOW) as client:
        url = "/v1/models/mnist/versions/2"
        before = (await client.get(url)).json()["drift"]
        answers = []
        for images in (BITS, np.zeros_like(BITS)):
            asked = {"content": npy(images), "headers": NPY}
            assert (await client.post(f"{url}/anomaly", **asked)).status_code == 200
            answers.append((await client.get(url)).json()["drift"])
        metrics = (await client.get("/metrics")).text
    assert before == {"windows": 0, "p_value": None, "drifts": None}
    assert [answer["windows"] for answer in answers] == [1, 2]
    assert [answer["drifts"] for answer in answers] == [False, True]
    assert answers[1]["p_value"] < 1e-6
    assert 'vae_drift_p_value{model="mnist",version="2"} ' in metrics
