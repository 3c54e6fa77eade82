"""Items of a request, read and checked: images or latents."""

from dataclasses import dataclass

import numpy as np

from models.warnings import Warned


@dataclass(slots=True)
class Inputs:
    """Items of a request, read and checked."""

    x: np.ndarray | None = None
    """(N, C, H, W), float32, observations."""
    latents: np.ndarray | None = None
    """(N, *latent_shape), float32."""
    preprocessing: tuple[tuple[str, ...], ...] | None = None
    """Steps from each image as sent to its observation."""
    preprocessing_steps: tuple[tuple[dict[str, str | None], ...], ...] | None = None
    """The same as objects; see `models.images.Step.to_json`."""
    warnings: tuple[Warned, ...] = ()
    """What is doubtful about the images, by their sizes and pixels."""
    exchanged: np.ndarray | None = None
    """The images with black and white exchanged, where they are to be checked."""

    @property
    def num_items(self) -> int:
        """Number of images and latents together."""
        if self.latents is None:
            return 0 if self.x is None else len(self.x)
        return len(self.latents) + (0 if self.x is None else len(self.x))
