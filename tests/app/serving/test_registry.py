"""The registry: which model is the default, and threads of compute."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.app.conftest import ClientFactory
from tests.app.pictures import PNG, binary, encoded
from tests.app.refusals import refused
from tests.app.repository import make_repository

pytestmark = pytest.mark.anyio


async def test_the_default_model_is_the_one_set_or_mnist_or_the_first(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    async with open_client(default_model="oracle") as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "oracle"
    make_repository(tmp_path)
    shutil.rmtree(tmp_path / "mnist")
    async with open_client(model_repository=tmp_path) as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "colour"


async def test_the_number_of_compute_threads_can_be_set(open_client: ClientFactory) -> None:
    before = torch.get_num_threads()
    try:
        async with open_client(compute_threads=1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


async def test_where_no_served_model_can_the_refusal_says_so(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    shutil.rmtree(tmp_path / "mnist-labelled")
    async with open_client(model_repository=tmp_path) as client:
        answer = await client.post("/v1/classify", content=encoded(binary(1)[0]), headers=PNG)
    problem = refused(answer, 409, "unsupported-operation")
    assert problem["detail"].endswith("No other served model can.")
    assert (problem["parameter"], problem["received"]) == ("model", "mnist")
    assert "suggestion" not in problem
