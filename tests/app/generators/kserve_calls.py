"""Calls of KServe's own client, unmodified: health, readiness, JSON and raw tensors, and a refusal.

Runs in KServe's own environment: kserve_calls.py URL.
"""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL = sys.argv[1]


def request(
    name: str, *inputs: InferInput, raw: bool = False, **parameters: object
) -> InferRequest:
    """A request for every output, raw or in JSON."""
    outputs = [
        RequestedOutput(output, parameters={"binary_data": raw})
        for output in {"mnist.encode": ["mean", "std"], "mnist.sample": ["images"]}.get(name, [])
    ]
    return InferRequest(
        model_name=name,
        infer_inputs=list(inputs),
        request_outputs=outputs or None,
        parameters=parameters,
    )


async def refusal_of(client: InferenceRESTClient, asked: InferRequest) -> str:
    """The message of the refusal of a request."""
    try:
        await client.infer(URL, asked, asked.model_name)
    except httpx.HTTPStatusError as error:
        return str(error)
    return ""


async def main() -> None:
    """Call each operation once."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    assert await client.is_server_live(URL)
    assert await client.is_server_ready(URL)
    assert await client.is_model_ready(URL, "mnist.encode")
    assert not await client.is_model_ready(URL, "mnist.unknown")
    sampled = await client.infer(URL, request("mnist.sample", n=2, seed=3), "mnist.sample")
    images = sampled.outputs[0].as_numpy()
    assert sampled.outputs[0].name == "images"
    assert sampled.parameters["seed"] == 3
    means = []
    for raw in (False, True):
        given = InferInput("images", list(images.shape), "FP32")
        given.set_data_from_numpy(images.astype(np.float32), binary_data=raw)
        asked = request("mnist.encode", given, raw=raw, seed=5)
        encoded = await client.infer(URL, asked, "mnist.encode")
        assert encoded.model_name == "mnist.encode"
        means.append({output.name: output.as_numpy() for output in encoded.outputs})
    assert means[0].keys() == {"mean", "std"}
    for name, array in means[0].items():
        assert array.dtype == np.float32
        assert np.array_equal(array, means[1][name])
    scored = await client.infer(URL, request("mnist.elbo", given, seed=5), "mnist.elbo")
    found = {output.name: output.as_numpy() for output in scored.outputs}
    assert found["elbo_nats"].dtype == np.float64
    assert found["kl_method"].tolist() == ["analytic"] * 2, found["kl_method"]
    assert "has no input images" in await refusal_of(client, request("mnist.encode"))
    await client.close()
    print("answered as asked")


asyncio.run(main())
