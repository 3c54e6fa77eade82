"""Seeds over HTTP: the same seed gives the same bits, alone, among neighbours and in parts."""

from typing import Any

import numpy as np
import pytest

from tests.app.api.calls import call
from tests.app.conftest import ClientFactory
from tests.app.pictures import NPY, binary, npy, read_npy, read_npz

pytestmark = pytest.mark.anyio


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
            "reconstruct": ("images", "squared_error", "ssim"),
            "elbo": ("elbo_nats", "standard_error_nats"),
            "log-likelihood": ("estimate_nats", "standard_error_nats", "pareto_k"),
        }.items():
            params: dict[str, Any] = {"seed": 7, "format": "npz"}
            extra = {"with_error": "true"} if operation == "reconstruct" else {"num_samples": 30}
            params |= extra
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
