"""The variational autoencoder: p(z), q(z|x), p(x|z), and the log-weights made of them.

    p(x, z) = p(x|z) p(z),    log_w = log p(x|z) + log p(z) - log q(z|x)

With labels all three are given y; log_w without a label is log sum_y p(y) w_y.

Source: Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082; with labels:
    Kingma et al. 2014, arXiv:1406.5298; Sohn, Lee and Yan 2015.
"""

from copy import deepcopy
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from models.distributions.from_noise import FromNoise
from models.errors import InputError, ShapeMismatch, UnsupportedOperation
from models.vae.autoencoder_kl import Attention
from models.vae.likelihoods import LIKELIHOODS
from models.vae.make_network import make_decoder, make_encoder
from models.vae.networks import Network
from models.vae.parts import Posterior, Prior
from models.vae.posteriors import POSTERIORS
from models.vae.principal import PrincipalPath
from models.vae.priors import PRIORS
from models.vae_config import VAEConfig

Label = Int64[Tensor, " batch"]


class VAE(nn.Module):
    """`prior`, `posterior` and `likelihood` return distributions; `log_weights` combines them."""

    def __init__(self, config: VAEConfig) -> None:
        """Build the parts that the config names, with torch's initial weights."""
        super().__init__()
        self.config = config
        self.image_shape: tuple[int, int, int] = config.image_shape
        self.latent_shape = config.latent_shape
        self.num_labels = config.num_labels
        self._frozen: tuple[FromNoise, list[tuple[int, int]]] | None = None
        self._weight: tuple[Tensor, ...] = ()
        # Tensor names in bundles begin with these names: they cannot change.
        self._likelihood = LIKELIHOODS[config.likelihood.kind](config.likelihood, config)
        self._prior = PRIORS[config.prior.kind](config.prior, config)
        self._posterior = POSTERIORS[config.posterior.kind](config.posterior, config)
        if config.encoder is not None:
            params_shape = self._posterior.params_shape
            self.encoder = make_encoder(config.encoder, self.image_shape, params_shape)
        self._decoded_shape = config.latent_groups[0] if config.latent_groups else self.latent_shape
        decoded = (prod(self._decoded_shape) + self.num_labels,)
        likelihood_shape = (self._likelihood.num_params, *self.image_shape[1:])
        self.decoder = make_decoder(
            config.decoder,
            decoded if self.num_labels else self._decoded_shape,
            likelihood_shape,
        )
        if config.principal_path:
            self.principal = PrincipalPath(self.image_shape, self.latent_shape)
        if self.num_labels:
            # A picture that is added to x: for an encoder that begins with a linear map this equals
            # the label beside x.
            self.label_pictures = nn.Parameter(torch.zeros(self.num_labels, *self.image_shape))
        if config.classifier is not None:
            labels = (self.num_labels,)
            self.classifier = make_encoder(config.classifier, self.image_shape, labels)
        # Convolutions are 1.4 times as fast so, on CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def prior_module(self) -> Prior:
        """The module that makes p(z), with its parameters, such as a VampPrior's pseudo-inputs."""
        return self._prior

    @property
    def posterior_module(self) -> Posterior:
        """The module that makes q(z|x) from the encoder's output."""
        return self._posterior

    def prior(self, y: Label | None = None) -> FromNoise:
        """p(z), batch shape (); p(z|y), batch shape (batch,)."""
        self._check_label(y)
        if self._frozen is not None:
            prior, stamp = self._frozen
            return prior if stamp == self.stamp() else self.freeze().prior()
        return self._prior_given(y)

    def posterior(
        self, x: Float[Tensor, "batch channel height width"], y: Label | None = None
    ) -> FromNoise:
        """q(z|x) or q(z|x,y), batch shape (batch,): an approximation of p(z|x)."""
        return self.posterior_from(self.posterior_params(x, y), y)

    def posterior_params(
        self, x: Float[Tensor, "batch channel height width"], y: Label | None = None
    ) -> Float[Tensor, "batch ..."]:
        """What q(z|x) is made of: the encoder's output, or log p(x, e_k) of every component."""
        self._check_label(y)
        if self.config.encoder is None:
            return self._log_joint_of_components(x)
        unit_scale = self.unit_scale
        return self._encode_unit(x if unit_scale == 1 else x / unit_scale, y)

    def posterior_from(self, params: Float[Tensor, "batch ..."], y: Label | None) -> FromNoise:
        """q(z|x) from its `posterior_params`."""
        return cast(FromNoise, self._posterior(params, lambda: self._prior_given(y)))

    def likelihood(self, z: Float[Tensor, "*lead"], y: Label | None = None) -> FromNoise:
        """p(x|z) or p(x|z,y); its batch shape is z's leading axes."""
        self._check_label(y)
        if self.config.latent_groups:
            z = z[..., : prod(self._decoded_shape)].unflatten(-1, self._decoded_shape)
        about = (self.principal.picture(z),) if self.config.principal_path else ()
        if y is not None:
            flat = z.flatten(-len(self._decoded_shape))
            given = F.one_hot(y, self.num_labels).to(z.dtype)
            z = torch.cat([flat, given.expand(*flat.shape[:-1], -1)], -1)
        return cast(FromNoise, self._likelihood(self.decoder(z).to(z.dtype), *about))

    def label_logits(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch label"]:
        """The classifier's unnormalised log q(y|x)."""
        return cast(Tensor, self.classifier(x * (2 / self.unit_scale) - 1).to(x.dtype))

    def log_joint(
        self,
        x: Float[Tensor, "batch channel height width"],
        z: Float[Tensor, "..."],
        y: Label | None = None,
    ) -> Tensor:
        """log p(x, z) in nats, shape of z's leading axes, (batch,) or (sample, batch).

        With a label log p(x, z|y).
        """
        likelihood, prior = self.likelihood(z, y), self.prior(y)
        return likelihood.log_prob(x) + prior.log_prob(z)

    def log_weights(
        self,
        x: Float[Tensor, "batch channel height width"],
        noise: Float[Tensor, "sample batch ..."],
        y: Label | None = None,
        *,
        posterior: FromNoise | None = None,
    ) -> Float[Tensor, "sample batch"]:
        """Importance log-weights log p(x, z) - log q(z|x) at the draws that the noise stands for.

        Args:
            x: Observations in the likelihood's support.
            noise: The posterior's noise, (sample, batch, ...).
            y: Labels: the weights then estimate p(x|y). Without labels, a model that has some sums
                over them at the same noise, log sum_y p(y) w_y: the weights estimate p(x).
            posterior: q(z|x) where the caller has it, so that the encoder runs once; q(z|x,y) of
                `every_label(x)` for a sum over labels.

        Returns:
            Nats, (sample, batch).

        Source: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
        """
        if self.num_labels and y is None:
            rows, labels = self.every_label(x)
            noise = noise.repeat(1, self.num_labels, *[1] * (noise.ndim - 2))
            return self.sum_over_labels(self.log_weights(rows, noise, labels, posterior=posterior))
        q = posterior if posterior is not None else self.posterior(x, y)
        z = q.from_noise(noise)
        return self.log_joint(x, z, y) - q.log_prob(z)

    def every_label(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "row channel height width"], Int64[Tensor, " row"]]:
        """x repeated once for each label: all rows of the first label, then of the second, ..."""
        labels = torch.arange(self.num_labels, device=x.device).repeat_interleave(len(x))
        return x.repeat(self.num_labels, 1, 1, 1), labels

    def posterior_of_every_label(self, x: Float[Tensor, "batch channel height width"]) -> FromNoise:
        """q(z|x,y) of the rows of `every_label`, in training: x takes the first layer once."""
        pictures = self._pictures(x / self.unit_scale)
        params = self.encoder.forward_each(pictures, self.label_pictures).to(x.dtype)
        if self.config.principal_path:
            params = self.principal.move(params, pictures.repeat(self.num_labels, 1, 1, 1))
        labels = torch.arange(self.num_labels, device=x.device).repeat_interleave(len(x))
        return self.posterior_from(params, labels)

    def sum_over_labels(self, log_px_given_y: Float[Tensor, "sample row"]) -> Tensor:
        """log sum_y p(y) p(x|y), (sample, batch), from the rows of `every_label`."""
        by_label: Tensor = log_px_given_y.unflatten(1, (self.num_labels, -1))
        # Labels on the last axis: along another one, torch adds in an order that depends on a
        # row's place.
        return (by_label.movedim(1, -1) + self.log_label_prior).contiguous().logsumexp(-1)

    @property
    def log_label_prior(self) -> Float[Tensor, " label"]:
        """log p(y), nats, in the weights' own precision."""
        given = self.config.label_probabilities or (1.0,) * self.num_labels
        log_p = torch.tensor(given, dtype=torch.float64).log().log_softmax(0)
        return log_p.to(next(self.parameters()))

    @torch.no_grad()
    def freeze(self) -> "VAE":
        """Eval mode without gradients, for serving; networks pad no more rows than they must.

        A VampPrior's components are computed once, and again when the weights are replaced or
        moved.
        """
        self._frozen = None
        self._weight = (next(self.parameters()),)  # in a tuple, it is no weight of another name
        self.eval().requires_grad_(False)
        for module in self.modules():
            if isinstance(module, Network):
                module.freeze()
        if self.config.prior.kind == "vamp":
            self._frozen = self.prior(), self.stamp()
        return self

    def train(self, mode: bool = True) -> "VAE":
        """Training or eval mode.

        Raises:
            UnsupportedOperation: Training of a frozen model: its prior would keep its old weights.
        """
        if mode and self._frozen is not None:
            raise UnsupportedOperation(
                "A frozen model's prior is computed once, so that it cannot be trained; received "
                "train(). Build a VAE of the same config and load these weights into it."
            )
        return super().train(mode)

    def stamp(self) -> list[tuple[int, int]]:
        """Address and version of each weight: it changes when a weight does."""
        return [(weight.data_ptr(), weight._version) for weight in self.parameters()]

    @property
    def device(self) -> torch.device:
        """Where the weights are; of a frozen model without a walk through its modules."""
        return (self._weight or (next(self.parameters()),))[0].device

    @property
    def is_mass(self) -> bool:
        """Whether p(x|z) is a mass, so that bits per dim exist."""
        return self._likelihood.is_mass

    @property
    def has_density(self) -> bool:
        """Whether x can be scored; an autoencoder has no density."""
        return self.config.likelihood.kind != "point"

    @property
    def unit_scale(self) -> float:
        """x / unit_scale lies in [0, 1] for a picture."""
        return self._likelihood.unit_scale

    @property
    def least_rows(self) -> int:
        """Up to so many rows take the decoder about as long as one."""
        return self.decoder.least_rows

    @property
    def num_latents(self) -> int:
        """Numbers in one latent."""
        return prod(self.latent_shape)

    def check_support(self, x: Tensor, y: Tensor | None = None) -> None:
        """Refuse observations of a wrong shape or outside the likelihood's support, and bad labels.

        Raises:
            ShapeMismatch: x is not (batch, channel, height, width) of this model, or y is not one
                label for each observation.
            OutOfSupport: Names the items and a value of each.
            InputError: A label is not one of 0..num_labels - 1.
            UnsupportedOperation: There are labels, and the model takes none.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise ShapeMismatch(
                f"x has shape {tuple(x.shape)}; this model takes (batch, "
                f"{', '.join(map(str, self.image_shape))}). Resize or transpose it.",
                parameter="x",
                received=list(x.shape),
                allowed=["batch", *self.image_shape],
            )
        self._likelihood.check_support(x)
        if y is None:
            return
        self._check_label(y)
        if y.shape != x.shape[:1]:
            raise ShapeMismatch(
                f"y has shape {tuple(y.shape)}; this model takes one label for each of {len(x)} "
                f"observations, ({len(x)},).",
                parameter="y",
                received=list(y.shape),
                allowed=[len(x)],
            )
        if bool(((y < 0) | (y >= self.num_labels)).any()):
            bad = y[(y < 0) | (y >= self.num_labels)].unique().tolist()
            raise InputError(
                f"y holds {', '.join(map(str, bad))}; a label of this model is one of "
                f"0..{self.num_labels - 1}.",
                parameter="y",
                received=bad,
            )

    def decoder_macs(self) -> int:
        """Multiply-accumulates of decoding one latent: the unit of the model's cost.

        In a hierarchy the networks between its groups count too: each draw passes through them.
        """
        between = (self._prior, self._posterior) if self.config.latent_groups else ()
        beside = (self.principal.decoder,) if self.config.principal_path else ()
        decoding = (self.decoder, *beside, *between)
        parts = [module for part in decoding for module in part.modules()]
        return sum(_count_macs(part) for part in parts if isinstance(part, Network))

    def _prior_given(self, y: Label | None) -> FromNoise:
        def encode(unit: Tensor) -> FromNoise:
            return self.posterior_from(self._encode_unit(unit), None)

        return cast(FromNoise, self._prior(y, encode))

    def _encode_unit(self, unit: Tensor, y: Label | None = None) -> Tensor:
        """The encoder's output for pictures in [0, 1]."""
        pictures = self._pictures(unit)
        seen = pictures if y is None else pictures + self.label_pictures[y]
        params = self.encoder(seen).to(unit.dtype)
        if self.config.principal_path:
            params = self.principal.move(params, pictures)
        return cast(Tensor, params)

    def _pictures(self, unit: Tensor) -> Tensor:
        """Pictures in [0, 1] as the encoder takes them, in [-1, 1]."""
        return unit * 2 - 1

    def _log_joint_of_components(self, x: Tensor) -> Tensor:
        """log p(x, e_k) of every unit vector, (batch, K)."""
        (count,) = self.latent_shape
        components = torch.eye(count, dtype=x.dtype, device=x.device).unsqueeze(1)
        return (self.likelihood(components).log_prob(x) + self.prior().log_prob(components)).T

    def _check_label(self, y: Any) -> None:
        if y is not None and not self.num_labels:
            raise UnsupportedOperation(
                "This model takes no label: it was trained without labels. Leave the label out.",
                parameter="label",
            )
        if y is None and self.num_labels:
            raise UnsupportedOperation(
                f"This model needs a label. Give one of 0..{self.num_labels - 1}.",
                parameter="label",
            )


def _count_macs(network: Network) -> int:
    """Multiply-accumulates of one row, counted on a copy without numbers."""
    counts: list[int] = []

    def count(layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
        if isinstance(layer, Attention):
            counts.append(layer.macs_beside_weights(outputs))
        else:
            counts.append(outputs.numel() * cast(Tensor, layer.weight)[0].numel())

    # A copy: hooks on the model itself would count the passes that it serves meanwhile. torch's own
    # counter loads its compiler, which takes a second and needs a folder to write to.
    tensors = (*network.parameters(), *network.buffers())
    copy = deepcopy(network, {id(tensor): tensor.to("meta") for tensor in tensors}).eval()
    for layer in copy.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | Attention):
            layer.register_forward_hook(count)
    rows = network.least_rows
    with torch.no_grad():
        copy(torch.zeros(rows, *network.in_shape, device="meta"))
    return sum(counts) // rows
