"""Clients of the Open Inference Protocol, unmodified, against a real server.

tritonclient is installed with the other tools of the tests. KServe's client pins other versions
than this project: KSERVE_PYTHON names the Python of an environment that has it, and `make
check-clients` makes one.
"""

import io
import os
import re
import subprocess
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.inference_calls import PICTURES
from tests.app.pictures import npy
from tests.app.server_process import ROOT, Served

http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
aio = pytest.importorskip("tritonclient.http.aio", reason="tritonclient is not installed")
ServerException = pytest.importorskip("tritonclient.utils").InferenceServerException

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ADMIN = {"Authorization": "Bearer root"}
CALLS = ROOT / "tests" / "app" / "generators" / "kserve_calls.py"


@pytest.fixture
def triton(served: Served) -> Iterator[Any]:
    """tritonclient's client."""
    client = http.InferenceServerClient(served.url.removeprefix("http://"))
    yield client
    client.close()


@pytest.fixture
async def triton_aio(served: Served) -> AsyncIterator[Any]:
    """tritonclient's client over asyncio."""
    client = aio.InferenceServerClient(served.url.removeprefix("http://"))
    yield client
    await client.close()


def pictures_for(module: Any, *, raw: bool = True) -> Any:
    """The pictures as an input."""
    given = module.InferInput("images", list(PICTURES.shape), "UINT8")
    given.set_data_from_numpy(PICTURES, binary_data=raw)
    return given


@pytest.fixture(scope="module")
def encoded(served: Served) -> Any:
    """What /v1 encodes the pictures to."""
    answer = served.client.post(
        "/v1/models/mnist/encode?format=npz&seed=4&num_samples=2",
        content=npy(PICTURES),
        headers={"Content-Type": "application/x-npy"},
    )
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def test_tritonclient_finds_the_server_and_its_models(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    assert triton.is_model_ready("mnist.encode")
    assert triton.is_model_ready("mnist.encode", "1")
    assert not triton.is_model_ready("mnist.unknown")
    metadata = triton.get_model_metadata("mnist.encode")
    assert metadata["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    listed = triton.get_model_repository_index()
    assert {"name": "mnist.encode", "version": "2", "state": "READY", "reason": ""} in listed
    with pytest.raises(ServerException) as refusal:
        triton.get_model_metadata("mnist.encod")
    assert refusal.value.status() == "404"
    assert "Did you mean mnist.encode?" in refusal.value.message()


@pytest.mark.parametrize("raw_in", [True, False])
@pytest.mark.parametrize("raw_out", [True, False, None])
def test_tritonclient_infers_what_v1_answers(
    triton: Any, encoded: Any, raw_in: bool, raw_out: bool | None
) -> None:
    names = ("mean", "std", "samples")
    outputs = [http.InferRequestedOutput(name, binary_data=bool(raw_out)) for name in names]
    result = triton.infer(
        "mnist.encode",
        [pictures_for(http, raw=raw_in)],
        outputs=None if raw_out is None else outputs,
        request_id="mine",
        parameters={"seed": 4, "num_samples": 2},
    )
    for name in names:
        np.testing.assert_array_equal(result.as_numpy(name), encoded[name])
        assert result.as_numpy(name).dtype == np.float32
    assert result.get_response()["id"] == "mine"
    assert result.get_response()["parameters"]["seed"] == 4


def test_tritonclient_samples_without_inputs_and_reads_texts_and_nulls(triton: Any) -> None:
    drawn = triton.infer("mnist.sample", [], parameters={"n": 3, "seed": 1})
    assert drawn.as_numpy("images").shape == (3, 1, 8, 8)
    for raw in (True, False):
        outputs = [
            http.InferRequestedOutput(name, binary_data=raw)
            for name in ("kl_method", "elbo_nats", "label_kl_nats")
        ]
        scored = triton.infer("mnist.elbo", [pictures_for(http)], outputs=outputs)
        texts = scored.as_numpy("kl_method").tolist()
        assert texts == ([b"analytic"] * 2 if raw else ["analytic"] * 2)
        assert scored.as_numpy("elbo_nats").dtype == np.float64
        assert np.isnan(scored.as_numpy("label_kl_nats")).all()


def test_tritonclient_keeps_its_connection_after_a_refusal(triton: Any) -> None:
    with pytest.raises(ServerException) as refusal:
        triton.infer("mnist.encode", [pictures_for(http)], parameters={"sed": 1})
    assert refusal.value.status() == "422"
    assert "Did you mean 'seed'?" in refusal.value.message()
    with pytest.raises(ServerException, match="uncompressed"):
        triton.infer("mnist.encode", [pictures_for(http)], request_compression_algorithm="gzip")
    answered = triton.async_infer("mnist.encode", [pictures_for(http)]).get_result()
    assert answered.as_numpy("mean").shape == (2, 4)


def test_tritonclient_loads_and_unloads(triton: Any) -> None:
    with pytest.raises(ServerException, match="carries no admin key"):
        triton.unload_model("colour")
    triton.unload_model("colour", headers=ADMIN)
    try:
        assert not triton.is_model_ready("colour.encode")
        listed = triton.get_model_repository_index()
        states = {known["name"]: known["state"] for known in listed}
        assert states["colour"] in ("UNAVAILABLE", "UNLOADING")
    finally:
        triton.load_model("colour", headers=ADMIN)
    assert triton.is_model_ready("colour.encode")


async def test_tritonclient_over_asyncio(triton_aio: Any, encoded: Any) -> None:
    assert await triton_aio.is_server_live()
    assert await triton_aio.is_model_ready("mnist.encode")
    assert (await triton_aio.get_server_metadata())["name"] == "vae-serve"
    for raw in (True, False):
        result = await triton_aio.infer(
            "mnist.encode",
            [pictures_for(aio, raw=raw)],
            outputs=[aio.InferRequestedOutput("samples", binary_data=raw)],
            parameters={"seed": 4, "num_samples": 2},
        )
        np.testing.assert_array_equal(result.as_numpy("samples"), encoded["samples"])
    with pytest.raises(ServerException, match="has no input images"):
        await triton_aio.infer("mnist.encode", [])


def test_the_pages_example_runs(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "open-inference.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example.replace("localhost:8000", served.url.removeprefix("http://")), {})
    printed = capsys.readouterr().out
    assert printed.startswith("[-")
    assert printed.endswith("] 1\n")


@pytest.fixture(scope="module")
def kserve_python() -> Path:
    """A Python that has KServe's client, at the version that was tested."""
    if named := os.environ.get("KSERVE_PYTHON"):
        return Path(named)
    if not os.environ.get("CHECK_CLIENTS"):
        pytest.skip("KServe's client has an environment of its own: make check-clients")
    folder = ROOT / ".cache" / "clients" / "kserve"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "kserve==0.21.0"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot install KServe's client: {done.stderr[-400:]}")
    return python


def test_kserves_client_is_answered_as_it_asks(served: Served, kserve_python: Path) -> None:
    done = subprocess.run(
        [kserve_python, CALLS, served.url],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "answered as asked" in done.stdout
