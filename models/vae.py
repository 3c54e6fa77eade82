"""The variational autoencoder: three distributions and the one line that ties them together.

It chooses no bound (`bounds.py`), draws no noise (`noise.py`) and trains nothing.

    p(x, z) = p(x|z) p(z),    log_w = log p(x|z) + log p(z) - log q(z|x)

Source: Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082.
"""

from copy import deepcopy
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from models.config import VAEConfig
from models.errors import ShapeMismatch, UnsupportedOperation
from models.likelihoods import LIKELIHOODS
from models.networks import MIN_ROWS, NETWORKS
from models.posteriors import POSTERIORS, DiagonalNormal
from models.priors import PRIORS


class VAE(nn.Module):
    """`prior`, `posterior` and `likelihood` return distributions; `log_weights` combines them."""

    def __init__(self, config: VAEConfig) -> None:
        """Build the parts that the config names, with torch's initial weights."""
        super().__init__()
        self.config = config
        self.image_shape: tuple[int, int, int] = config.image_shape
        self.latent_shape = config.latent_shape
        self._likelihood = LIKELIHOODS[config.likelihood.kind](config.likelihood, self.image_shape)
        self._prior = PRIORS[config.prior.kind](config.prior, self.latent_shape)
        self._posterior = POSTERIORS[config.posterior.kind](config.posterior, self.latent_shape)
        encoder, _ = NETWORKS[config.encoder.kind]
        _, decoder = NETWORKS[config.decoder.kind]
        posterior_shape = (self._posterior.num_params, *self.latent_shape)
        likelihood_shape = (self._likelihood.num_params, *self.image_shape[1:])
        self.encoder = encoder(config.encoder, self.image_shape, posterior_shape)
        self.decoder = decoder(config.decoder, self.latent_shape, likelihood_shape)
        # Convolutions are 1.4 times as fast so, on CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def prior(self, y: Tensor | None = None) -> DiagonalNormal:
        """p(z), batch shape ()."""
        self._refuse_label(y)
        return cast(DiagonalNormal, self._prior())

    def posterior(
        self, x: Float[Tensor, "batch channel height width"], y: Tensor | None = None
    ) -> DiagonalNormal:
        """q(z|x), batch shape (batch,). An approximation of p(z|x), made by the encoder."""
        self._refuse_label(y)
        params = self.encoder(x * (2 / self.unit_scale) - 1)
        return cast(DiagonalNormal, self._posterior(params.to(x.dtype)))

    def likelihood(self, z: Float[Tensor, "*lead"], y: Tensor | None = None) -> Distribution:
        """p(x|z); its batch shape is z's leading axes."""
        self._refuse_label(y)
        return cast(Distribution, self._likelihood(self.decoder(z).to(z.dtype)))

    def log_joint(
        self,
        x: Float[Tensor, "batch channel height width"],
        z: Float[Tensor, "..."],
        y: Tensor | None = None,
    ) -> Tensor:
        """log p(x, z) in nats, shape of z's leading axes, (batch,) or (sample, batch)."""
        likelihood, prior = self.likelihood(z, y), self.prior(y)
        return likelihood.log_prob(x) + prior.log_prob(z)

    def log_weights(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "sample batch ..."],
        y: Tensor | None = None,
        *,
        posterior: DiagonalNormal | None = None,
    ) -> Float[Tensor, "sample batch"]:
        """Importance log-weights log p(x, z) - log q(z|x) at the draws that the noise stands for.

        Args:
            x: Observations in the likelihood's support.
            noise: Standard normals, (sample, batch, *latent_shape).
            y: Labels; this model has none.
            posterior: q(z|x) when it is known already, so that the encoder runs once whatever K.

        Returns:
            Nats, (sample, batch).

        Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
        """
        q = posterior if posterior is not None else self.posterior(x, y)
        z = q.from_noise(noise)
        return self.log_joint(x, z, y) - q.log_prob(z)

    @property
    def is_mass(self) -> bool:
        """Whether p(x|z) is a mass, so that bits per dim exist."""
        return self._likelihood.is_mass

    @property
    def unit_scale(self) -> float:
        """x / unit_scale lies in [0, 1] for a picture."""
        return self._likelihood.unit_scale

    @property
    def num_latents(self) -> int:
        """How many numbers a latent holds."""
        return int(torch.Size(self.latent_shape).numel())

    def check_support(self, x: Tensor) -> None:
        """Refuse observations of another shape or outside the likelihood's support.

        Raises:
            ShapeMismatch: Not (batch, channel, height, width) of this model.
            OutOfSupport: Names the items and a value of each.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise ShapeMismatch(
                f"An observation has the shape (batch, {', '.join(map(str, self.image_shape))}); "
                f"received {tuple(x.shape)}. Resize or transpose it."
            )
        self._likelihood.check_support(x)

    def decoder_macs(self) -> int:
        """Multiply-accumulates of one latent's decoding: the unit of the model's cost."""
        counts: list[int] = []

        def count(layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
            counts.append(outputs.numel() * cast(Tensor, layer.weight)[0].numel())

        # A copy: hooks on the model itself would count what it serves meanwhile. torch's own
        # counter loads its compiler, which takes a second and needs a folder to write to.
        decoder = deepcopy(self.decoder).eval()
        for layer in decoder.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_hook(count)
        with torch.no_grad():
            decoder(next(self.parameters()).new_zeros(MIN_ROWS, *self.latent_shape))
        return sum(counts) // MIN_ROWS

    def _refuse_label(self, y: Any) -> None:
        if y is not None:
            raise UnsupportedOperation(
                "A label needs a model with labels; this one has none. Leave the label out."
            )
