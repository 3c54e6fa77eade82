"""Calls of the operations of a test service: bodies in every form, and answers that must be 200."""

import base64
from typing import Any

import httpx
import numpy as np

from app.operations.table import OPERATIONS
from tests.app.pictures import NPY, NPZ, binary, encoded, npy, npz
from tests.app.repository import LATENTS

PICTURES = binary(2)
LATENT_ROWS = np.random.default_rng(0).normal(size=(2, LATENTS)).astype(np.float32)


def image_bodies(pictures: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same pictures in every form that holds several."""
    files = [encoded(picture) for picture in pictures]
    texts = [base64.b64encode(file).decode() for file in files]
    return {
        "base64": {"json": {"images": texts}},
        "data URL": {"json": {"images": [f"data:image/png;base64,{text}" for text in texts]}},
        "numbers": {"json": {"images": pictures.tolist()}},
        "floats": {"json": {"images": (pictures / 255).tolist()}},
        "channels last": {"json": {"images": pictures[..., None].tolist()}},
        "npy": {"content": npy(pictures), "headers": NPY},
        "npy (N, C, H, W)": {"content": npy(pictures[:, None]), "headers": NPY},
        "npy floats": {"content": npy(pictures / 255), "headers": NPY},
        "npy booleans": {"content": npy(pictures > 0), "headers": NPY},
        "npy Fortran": {"content": npy(np.asfortranarray(pictures)), "headers": NPY},
        "npy big-endian": {"content": npy((pictures / 255).astype(">f4")), "headers": NPY},
        "npz": {"content": npz(images=pictures), "headers": NPZ},
        "npz of another name": {"content": npz(arr_0=pictures), "headers": NPZ},
        "multipart": {
            "files": [("images", (f"{i}.png", f, "image/png")) for i, f in enumerate(files)]
        },
        "multipart untyped": {
            "files": [
                ("images", (f"{i}.png", f, "application/octet-stream")) for i, f in enumerate(files)
            ]
        },
        "multipart npy": {"files": [("images", ("x.npy", npy(pictures), "application/x-npy"))]},
    }


def latent_bodies(latents: np.ndarray) -> dict[str, dict[str, Any]]:
    """The same latents in every form."""
    return {
        "json": {"json": {"latents": latents.tolist()}},
        "npy": {"content": npy(latents), "headers": NPY},
        "npy doubles": {"content": npy(latents.astype(np.float64)), "headers": NPY},
        "npz": {"content": npz(latents=latents), "headers": NPZ},
        "npz of another name": {"content": npz(z=latents), "headers": NPZ},
        "multipart": {"files": [("latents", ("z.npy", npy(latents), "application/x-npy"))]},
    }


def body_of(operation: str) -> dict[str, Any]:
    """A body that the operation takes."""
    if operation == "decode":
        return {"json": {"latents": LATENT_ROWS.tolist()}}
    return {"json": {"images": PICTURES.tolist()}}


async def call(client: httpx.AsyncClient, operation: str, **arguments: Any) -> httpx.Response:
    """Call an operation of the default model, or of one that can do it, and expect success."""
    body = {} if operation == "sample" else body_of(operation)
    method = OPERATIONS[operation].method
    prefix = "/v1/models/mnist-labelled" if operation == "classify" else "/v1"
    response = await client.request(method, f"{prefix}/{operation}", **{**body, **arguments})
    assert response.status_code == 200, response.text
    return response
