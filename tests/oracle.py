"""The linear-Gaussian VAE, whose evidence, posterior and ELBO are known exactly (float64).

    p(z) = N(0, I),  p(x|z) = N(W z + b, s^2 I)   =>   p(x) = N(b, W W' + s^2 I)
    p(z|x) = N(M^-1 W'(x - b), s^2 M^-1),  M = W'W + s^2 I

W has orthogonal columns, so the exact posterior is diagonal and a diagonal q can equal it.
Source: Tipping and Bishop 1999, Journal of the Royal Statistical Society B 61(3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from models.config import ImageSpec, MLPConfig, NormalConfig, VAEConfig
from models.vae import VAE


@dataclass(frozen=True)
class Oracle:
    """A VAE and the exact values of everything that is estimated about it."""

    vae: VAE
    loading: Tensor
    bias: Tensor
    noise_scale: float
    posterior_scale: float
    """q's scale as a multiple of the exact posterior's."""
    posterior_shift: float
    """q's location is the exact one plus this many exact scales."""

    def draw(self, count: int, *, seed: int = 0) -> Tensor:
        """Observations from p(x), (count, channel, height, width)."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, self.loading.shape[1], generator=generator, dtype=torch.float64)
        e = torch.randn(count, len(self.bias), generator=generator, dtype=torch.float64)
        return (z @ self.loading.T + self.bias + self.noise_scale * e).reshape(
            count, *self.vae.image_shape
        )

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), nats, by torch's dense multivariate normal."""
        eye = torch.eye(len(self.bias), dtype=torch.float64)
        covariance = self.loading @ self.loading.T + self.noise_scale**2 * eye
        return MultivariateNormal(self.bias, covariance).log_prob(x.flatten(1).double())

    def exact_posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location (batch, L) and scale (L,) of p(z|x)."""
        m = (self.loading**2).sum(0) + self.noise_scale**2
        loc = (x.flatten(1).double() - self.bias) @ self.loading / m
        return loc, self.noise_scale / m.sqrt()

    def gap(self) -> float:
        """KL(q(z|x) || p(z|x)), nats, the same for every x."""
        r, latents = self.posterior_scale, self.loading.shape[1]
        one = 0.5 * (r**2 + self.posterior_shift**2 - 1) - torch.tensor(r).double().log()
        return float(latents * one)

    def elbo(self, x: Tensor) -> Tensor:
        """Exact ELBO, nats."""
        return self.log_px(x) - self.gap()

    def kl(self, x: Tensor) -> Tensor:
        """Exact KL(q(z|x) || p(z)), nats."""
        loc, scale = self.exact_posterior(x)
        q_scale = scale * self.posterior_scale
        q_loc = loc + self.posterior_shift * scale
        return (0.5 * (q_scale**2 + q_loc**2 - 1) - q_scale.log()).sum(-1)


def make(
    *,
    latents: int,
    shape: tuple[int, int, int],
    noise_scale: float,
    posterior_scale: float,
    posterior_shift: float,
    dtype: torch.dtype = torch.float64,
) -> Oracle:
    """Build the VAE whose affine networks realise the model and the chosen q."""
    generator = torch.Generator().manual_seed(latents)
    pixels = shape[0] * shape[1] * shape[2]
    basis, _ = torch.linalg.qr(
        torch.randn(pixels, latents, generator=generator, dtype=torch.float64)
    )
    loading = basis * torch.linspace(0.5, 2.0, latents, dtype=torch.float64)
    bias = 0.5 + 0.1 * torch.randn(pixels, generator=generator, dtype=torch.float64)
    affine = MLPConfig(hidden=())
    vae = VAE(
        VAEConfig(
            image_shape=shape,
            latent_shape=(latents,),
            encoder=affine,
            decoder=affine,
            likelihood=NormalConfig(scale="fixed", fixed_scale=noise_scale),
        )
    ).double()
    oracle = Oracle(vae, loading, bias, noise_scale, posterior_scale, posterior_shift)
    m = (loading**2).sum(0) + noise_scale**2
    scale = noise_scale / m.sqrt()
    encode, decode = vae.encoder.body[-1], vae.decoder.body[-1]
    with torch.no_grad():
        decode.weight.copy_(loading)
        decode.bias.copy_(bias)
        # The encoder sees 2 x - 1.
        project = loading.T / m.unsqueeze(1)
        encode.weight.zero_()
        encode.weight[:latents].copy_(project / 2)
        encode.bias[:latents].copy_(project @ (0.5 - bias) + posterior_shift * scale)
        encode.bias[latents:].copy_(torch.log(torch.expm1(posterior_scale * scale)))
    vae.to(dtype).eval().requires_grad_(False)
    return oracle


def instance(name: str, *, dtype: torch.dtype = torch.float64) -> Oracle:
    """The three instances: "easy", "medium" and "hard" (50 latents, q's scale 0.8 of the exact)."""
    return make(dtype=dtype, **INSTANCES[name])


INSTANCES = {
    "easy": dict(
        latents=2, shape=(1, 3, 3), noise_scale=0.5, posterior_scale=1.0, posterior_shift=0.0
    ),
    "medium": dict(
        latents=8, shape=(1, 5, 4), noise_scale=0.5, posterior_scale=0.9, posterior_shift=0.1
    ),
    "hard": dict(
        latents=50, shape=(1, 10, 10), noise_scale=0.5, posterior_scale=0.8, posterior_shift=0.0
    ),
}

IMAGE_SPEC = {
    name: ImageSpec(channels=1, height=v["shape"][1], width=v["shape"][2], values="unit")
    for name, v in INSTANCES.items()
}
