"""Inference requests of the Open Inference Protocol, as dictionaries and as bytes."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np

from app.operations.table import OPERATIONS
from tests.app.pictures import binary
from tests.app.repository import LATENTS

PICTURES = binary(2)[:, None]
LATENT_ROWS = np.random.default_rng(0).normal(size=(2, LATENTS)).astype(np.float32)


def entry(name: str, array: np.ndarray, datatype: str = "UINT8") -> dict[str, Any]:
    """An input in JSON."""
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype,
        "data": array.reshape(-1).tolist(),
    }


def inputs_of(operation: str) -> list[dict[str, Any]]:
    """Inputs that an operation takes."""
    takes = OPERATIONS[operation].takes
    if not takes:
        return []
    if "images" in takes:
        return [entry("images", PICTURES)]
    return [entry("latents", LATENT_ROWS, "FP32")]


def raw_body(document: Mapping[str, Any], *tensors: bytes) -> dict[str, Any]:
    """A body with raw tensors behind its JSON, as httpx takes it."""
    head = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return {"content": head + b"".join(tensors), "headers": headers}


def arrays_of(response: httpx.Response) -> dict[str, np.ndarray]:
    """The outputs of an answer in JSON."""
    kinds = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": bool}
    return {
        output["name"]: np.array(
            output["data"],
            dtype=kinds.get(
                output["datatype"], np.uint8 if output["datatype"] == "UINT8" else None
            ),
        ).reshape(output["shape"])
        for output in response.json()["outputs"]
    }


def refused(response: httpx.Response, status: int) -> str:
    """The message of an answer that must be this refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    assert response.headers["x-request-id"]
    message: str = response.json()["error"]
    assert message
    return message
