"""Operations of a family over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.operations.table import OPERATIONS
from models.bundle.loading import load_bundle
from models.vae.model import VAE
from tests.app.family_repository import PPCA, SIDE
from tests.app.pictures import NPY, npy
from tests.models.family_cases import family

PICTURES = (np.random.default_rng(0).random((70, SIDE, SIDE)) < 0.5).astype(np.float32)
SCORES = ("elbo", "log-likelihood", "classify")


def latents_of(name: str, n: int = 2) -> np.ndarray:
    """Latents that the family decodes: numbers, or a mixture's unit vectors."""
    length = 3 if name == PPCA else family(name).latent_shape[0]
    if name == "categorical":
        return np.eye(length)[np.arange(n) % length]
    return np.random.default_rng(1).normal(size=(n, length))


async def ask(
    client: httpx.AsyncClient,
    name: str,
    operation: str,
    pictures: np.ndarray | None = None,
    **params: Any,
) -> httpx.Response:
    """One operation of a family, on latents or pictures as it takes them."""
    declared = OPERATIONS[operation]
    body: dict[str, Any] = {}
    if declared.takes == ("latents",):
        body = {"content": npy(latents_of(name)), "headers": NPY}
    elif declared.takes:
        body = {"content": npy(PICTURES[:2] if pictures is None else pictures), "headers": NPY}
    path = f"/v1/models/{name}/{operation}"
    return await client.request(declared.method, path, params=params, **body)


async def answer(
    client: httpx.AsyncClient, name: str, operation: str, *args: Any, **params: Any
) -> Any:
    """The JSON of an operation that must succeed."""
    response = await ask(client, name, operation, *args, **{"format": "json", **params})
    assert response.status_code == 200, response.text
    return response.json()


def fewer_draws(operation: str) -> dict[str, Any]:
    """Parameters of a score of few draws, with the pixels' parts where it has them."""
    pixels = {"pixels": True} if operation == "elbo" else {}
    return {"num_samples": 5, **pixels} if operation in SCORES else {}


def vae_of(families: Path, name: str) -> VAE:
    return load_bundle(families / name / "1").vae
