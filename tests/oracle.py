"""Oracles: linear-Gaussian VAEs, whose evidence, posterior and ELBO are known exactly (float64).

    p(z) = N(0, I),  p(x|z) = N(W z + b, s^2 I)   =>   p(x) = N(b, W W' + s^2 I)
    p(z|x) = N(M^-1 W'(x - b), s^2 M^-1),  M = W'W + s^2 I

W has orthogonal columns, so the exact posterior is diagonal and a diagonal q can equal it.
Source: Tipping and Bishop 1999, Journal of the Royal Statistical Society B 61(3).

`two_layers` and `labelled` are the same with two layers of latents, and with labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from models.config import MLPConfig, NormalConfig
from models.images.spec import ImageSpec
from models.vae.model import VAE
from models.vae_config import VAEConfig


@dataclass(frozen=True)
class Oracle:
    """VAE with the exact values of its evidence, posterior, KL and ELBO."""

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


def set_affine(network: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """A network without hidden layers: y = weight x + bias."""
    with torch.no_grad():
        network.body[-1].weight.copy_(weight)
        network.body[-1].bias.copy_(bias)


def raw(scale: Tensor) -> Tensor:
    """Output of a network that gives this scale: the inverse of softplus."""
    return torch.log(torch.expm1(scale))


@dataclass(frozen=True)
class TwoLayers:
    """z_2 ~ N(0, I), z_1 | z_2 ~ N(A z_2 + a, t^2 I), x | z_1 ~ N(W z_1 + b, s^2 I).

    p(x) = N(W a + b, W (A A' + t^2 I) W' + s^2 I). W has orthogonal columns and A is diagonal, so
    that p(z_1|x), p(z_2|z_1), p(z_2|x) and p(z_1|z_2, x) all are diagonal normals, and both kinds
    of posterior can be exact.
    """

    vae: VAE
    loading: Tensor
    bias: Tensor
    top_loading: Tensor
    top_bias: Tensor
    noise_scale: float
    top_scale: float

    def draw(self, count: int, *, seed: int = 0) -> Tensor:
        """Observations from p(x), (count, channel, height, width)."""
        generator = torch.Generator().manual_seed(seed)
        mean, covariance = self.moments()
        noise = torch.randn(count, len(mean), generator=generator, dtype=torch.float64)
        x = mean + noise @ torch.linalg.cholesky(covariance).T
        return x.reshape(count, *self.vae.image_shape)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of p(x)."""
        eye = torch.eye(len(self.top_bias), dtype=torch.float64)
        inner = self.top_loading @ self.top_loading.T + self.top_scale**2 * eye
        outer = self.noise_scale**2 * torch.eye(len(self.bias), dtype=torch.float64)
        return (
            self.loading @ self.top_bias + self.bias,
            self.loading @ inner @ self.loading.T + outer,
        )

    def log_px(self, x: Tensor) -> Tensor:
        """Exact log p(x), nats, by torch's dense multivariate normal."""
        return MultivariateNormal(*self.moments()).log_prob(x.flatten(1).double())


def two_layers(posterior: str, *, posterior_scale: float = 1.0) -> TwoLayers:
    """Two layers, a "bottom_up" or "ladder" posterior whose scales are a multiple of the exact."""
    shape, sizes, noise_scale, top_scale = (1, 3, 2), (3, 2), 0.5, 0.7
    generator = torch.Generator().manual_seed(7)
    basis, _ = torch.linalg.qr(torch.randn(6, 3, generator=generator, dtype=torch.float64))
    loading = basis * torch.tensor([0.6, 1.1, 1.7], dtype=torch.float64)
    bias = 0.5 + 0.1 * torch.randn(6, generator=generator, dtype=torch.float64)
    top_loading = torch.tensor([[1.3, 0.0], [0.0, -0.8], [0.0, 0.0]], dtype=torch.float64)
    top_bias = torch.tensor([0.2, -0.3, 0.4], dtype=torch.float64)
    affine = MLPConfig(hidden=())
    vae = VAE(
        VAEConfig.model_validate(
            {
                "image_shape": shape,
                "latent_shape": (5,),
                "latent_groups": [(3,), (2,)],
                "prior": {"kind": "top_down", "network": affine},
                "posterior": {
                    "kind": posterior,
                    "network": affine,
                    **({"features": 1} if posterior == "ladder" else {}),
                },
                "encoder": affine,
                "decoder": affine,
                "likelihood": NormalConfig(scale="fixed", fixed_scale=noise_scale),
            }
        )
    ).double()
    set_affine(vae.decoder, loading, bias)
    zero = torch.zeros(3, 2, dtype=torch.float64)
    set_affine(
        vae.prior_module.networks[0],
        torch.cat([top_loading, zero]),
        torch.cat([top_bias, raw(torch.full((3,), top_scale, dtype=torch.float64))]),
    )
    column = (loading**2).sum(0)
    slopes = top_loading.diagonal()
    inner = top_scale**2 + torch.cat([slopes**2, torch.zeros(1).double()])  # of z_1
    likely = noise_scale**2 / column  # of z_1, as x alone tells
    least = (loading / column).T  # its location is least (x - b)
    if posterior == "bottom_up":
        part = inner / (inner + likely)  # p(z_1|x)
        weight, scale = part[:, None] * least, (part * likely).sqrt()
        offset = (1 - part) * top_bias - weight @ bias
        gain = slopes / (slopes**2 + top_scale**2)  # p(z_2|z_1)
        top = top_scale / (slopes**2 + top_scale**2).sqrt()
    else:
        weight, scale, offset = least, likely.sqrt(), -least @ bias
        spread = top_scale**2 + likely[:2]  # of what x tells of z_1, given z_2
        gain = slopes / (slopes**2 + spread)  # p(z_2|x)
        top = (spread / (slopes**2 + spread)).sqrt()
    up = torch.zeros(2, vae.posterior_module.networks[0].body[-1].in_features, dtype=torch.float64)
    up[:, :2] = torch.diag(gain)
    set_affine(
        vae.posterior_module.networks[0],
        torch.cat([up, torch.zeros_like(up)]),
        torch.cat([-gain * top_bias[:2], raw(top * posterior_scale)]),
    )
    # The encoder sees 2 x - 1. A ladder's features are the locations that x alone tells.
    copies = 1 if posterior == "ladder" else 0
    located = offset + weight.sum(1) / 2
    set_affine(
        vae.encoder,
        torch.cat([weight / 2, torch.zeros_like(weight), *[weight / 2] * copies]),
        torch.cat([located, raw(scale * posterior_scale), *[located] * copies]),
    )
    assert sum(sizes) == vae.num_latents
    vae.eval().requires_grad_(False)
    return TwoLayers(vae, loading, bias, top_loading, top_bias, noise_scale, top_scale)


@dataclass(frozen=True)
class Labelled:
    """p(x|z, y) = N(W z + u_y + b, s^2 I), z ~ N(0, I): p(x|y) = N(b + u_y, W W' + s^2 I)."""

    plain: Oracle
    vae: VAE
    shifts: Tensor
    """u, (label, pixel)."""
    probabilities: tuple[float, ...]

    def log_px_given_y(self, x: Tensor) -> Tensor:
        """Exact log p(x|y), nats, (batch, label)."""
        moved = [x - shift.reshape(self.vae.image_shape) for shift in self.shifts]
        return torch.stack([self.plain.log_px(part) for part in moved], -1)

    def log_joint(self, x: Tensor) -> Tensor:
        """Exact log p(x, y), nats, (batch, label)."""
        log_p = torch.tensor(self.probabilities, dtype=torch.float64).log()
        return self.log_px_given_y(x) + log_p

    def draw(self, count: int, *, seed: int = 0) -> Tensor:
        """Observations, of each label in turn."""
        y = torch.arange(count) % len(self.shifts)
        return self.plain.draw(count, seed=seed) + self.shifts[y].reshape(-1, *self.vae.image_shape)


def labelled(*, posterior_scale: float, classifier: bool = False) -> Labelled:
    """Three labels over the easy oracle; q(z|x,y)'s scale is a multiple of the exact one."""
    plain = make(
        latents=2,
        shape=(1, 3, 3),
        noise_scale=0.5,
        posterior_scale=posterior_scale,
        posterior_shift=0.0,
    )
    generator = torch.Generator().manual_seed(3)
    probabilities = (0.2, 0.3, 0.5)
    config = plain.vae.config.model_dump()
    vae = VAE(
        VAEConfig.model_validate(
            {
                **config,
                "num_labels": 3,
                "label_probabilities": probabilities,
                "classifier": {"kind": "mlp", "hidden": [4]} if classifier else None,
            }
        )
    ).double()
    shifts = 0.5 * torch.randn(3, 9, generator=generator, dtype=torch.float64)
    set_affine(vae.decoder, torch.cat([plain.loading, shifts.T], 1), plain.bias)
    vae.encoder.load_state_dict(plain.vae.encoder.state_dict())
    with torch.no_grad():  # x - u_y in the place of x, which the encoder sees as 2 x - 1
        vae.label_pictures.copy_(-2 * shifts.reshape(3, 1, 3, 3))
    vae.eval().requires_grad_(False)
    return Labelled(plain, vae, shifts, probabilities)
