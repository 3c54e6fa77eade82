"""A bundle behind MLflow's `load_model(folder).predict(images, params)`.

MLflow calls `_load_pyfunc` with a folder of one bundle, `<model>/<version>/`. No MLflow is imported
here, and nothing is unpickled. `vae-lab export-mlflow` writes such a model.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle.loading import Bundle, load_bundle
from models.bundle.repository import Repository
from models.errors import InputError, UnsupportedOperation, closest
from models.estimators.elbo import estimate_elbo
from models.estimators.labels import guess_steps
from models.estimators.steps import CHUNK_ROWS, run_steps
from models.images import read_images

OUTPUTS = ("latents", "elbo")
DEFAULTS: dict[str, Any] = {"output": "latents", "num_samples": 100, "seed": 0}
"""Parameters of `predict`, and their values where none are given."""


class BundleModel:
    """What MLflow serves of a bundle: latents, or ELBOs with their errors."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def predict(
        self, images: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Encode or score pictures.

        Args:
            images: Pixels 0..255, (batch, height, width, channel), of any size.
            params: `output`, `num_samples` (draws of q(z|x) for each ELBO) and `seed`.

        Returns:
            For "latents" the means of q(z|x), (batch, *latent_shape); of a model with labels, given
            the most probable one. For "elbo" `elbo_nats` and `standard_error_nats`, (batch,).

        Raises:
            InputError: Pictures or parameters that are not allowed.
            UnsupportedOperation: An autoencoder has no ELBO.
        """
        chosen = {**DEFAULTS, **(params or {})}
        pictures = np.asarray(images)
        x = torch.from_numpy(read_images(pictures, self._bundle.config.image).x)
        if chosen["output"] == "latents":
            return self._latents(x)
        if chosen["output"] == "elbo":
            return self._elbo(x, num_samples=int(chosen["num_samples"]), seed=int(chosen["seed"]))
        meant = closest(str(chosen["output"]), OUTPUTS) or OUTPUTS[0]
        raise InputError(
            f"output={chosen['output']!r} is not allowed. Allowed: {', '.join(OUTPUTS)}. Pass "
            f"params={{'output': '{meant}'}}.",
            parameter="output",
            received=chosen["output"],
            allowed=OUTPUTS,
            suggestion=meant,
        )

    @torch.no_grad()
    def _latents(self, x: Tensor) -> np.ndarray:
        vae, y = self._bundle.vae, None
        if vae.num_labels:
            y = run_steps(guess_steps(vae, x, chunk_rows=CHUNK_ROWS)).argmax(-1)
        latents: np.ndarray = vae.posterior(x, y).mean.numpy()
        return latents

    def _elbo(self, x: Tensor, *, num_samples: int, seed: int) -> dict[str, np.ndarray]:
        if not self._bundle.vae.has_density:
            raise UnsupportedOperation(
                f"{self._bundle.name} is an autoencoder: it has no density and cannot score. Pass "
                "params={'output': 'latents'}.",
                parameter="output",
            )
        score = estimate_elbo(self._bundle.vae, x, num_samples=num_samples, seed=seed)
        return {
            "elbo_nats": score.elbo_nats.numpy(),
            "standard_error_nats": score.standard_error_nats.numpy(),
        }


def _load_pyfunc(path: str) -> BundleModel:
    """Load the one bundle of a folder, as MLflow asks for it."""
    repository = Repository(Path(path))
    return BundleModel(load_bundle(repository.path_of(repository.names()[0])))
