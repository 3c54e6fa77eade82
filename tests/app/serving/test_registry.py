"""The registry: which model is the default, and threads of compute."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.app.conftest import ClientFactory
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
