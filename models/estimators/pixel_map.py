"""Where an image's reconstruction term comes from: log p(x|z) of each pixel, averaged over draws.

    E_q[log p(x|z)] = sum_i E_q[log p(x_i|z)]

Every likelihood here factorises over the pixels i given z; the channels of a pixel may depend on
one another, so that they are summed.
"""

from dataclasses import dataclass, field

from jaxtyping import Float, Float64
from torch import Tensor

from models.estimators.labels import Rows
from models.estimators.moments import RunningMoments
from models.estimators.passes import log_likelihood_steps, pixel_log_likelihood_steps
from models.estimators.steps import Steps
from models.vae.model import VAE


@dataclass
class PixelMap:
    """The mean log p(x_i|z) of each pixel over the draws so far, where it is wanted."""

    rows: Rows
    is_wanted: bool
    _moments: RunningMoments = field(default_factory=RunningMoments)

    def log_likelihood_steps(
        self, vae: VAE, z: Float[Tensor, "sample row ..."]
    ) -> Steps[Float[Tensor, "sample row"]]:
        """log p(x|z) of the next draws, nats, whose pixels are added to the map."""
        if not self.is_wanted:
            return (yield from log_likelihood_steps(vae, z, self.rows.x, self.rows.y))
        log_px, by_pixel = yield from pixel_log_likelihood_steps(vae, z, self.rows.x, self.rows.y)
        self._moments.add(self.rows.expect(by_pixel.double(), axis=1))
        return log_px

    @property
    def mean(self) -> Float64[Tensor, "batch height width"] | None:
        """Nats; None where it is not wanted."""
        return self._moments.mean if self.is_wanted else None
