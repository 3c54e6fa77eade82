"""The variational autoencoder: three distributions and the one line that ties them together.

It chooses no bound (`bounds.py`), draws no noise (`noise.py`) and trains nothing.

    p(x, z) = p(x|z) p(z),    log_w = log p(x|z) + log p(z) - log q(z|x)

With labels, all three are given y, and log_w without one sums over them: log sum_y p(y) w_y.

Source: Kingma and Welling 2014, arXiv:1312.6114; Rezende et al. 2014, arXiv:1401.4082; with labels:
    Kingma et al. 2014, arXiv:1406.5298; Sohn, Lee and Yan 2015.
"""

from copy import deepcopy
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from models.config import VAEConfig
from models.distributions.grouped import GroupedNormal
from models.distributions.normals import DiagonalNormal, FullNormal, MixtureOfNormals
from models.distributions.one_hot import OneHot
from models.distributions.point import Point
from models.errors import InputError, ShapeMismatch, UnsupportedOperation
from models.vae.likelihoods import LIKELIHOODS
from models.vae.networks import MIN_ROWS, NETWORKS, Network
from models.vae.posteriors import POSTERIORS
from models.vae.priors import PRIORS

Prior = DiagonalNormal | MixtureOfNormals | GroupedNormal | OneHot
Posterior = DiagonalNormal | FullNormal | GroupedNormal | OneHot | Point
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
        self._frozen: tuple[Prior, list[tuple[int, int]]] | None = None
        self._likelihood = LIKELIHOODS[config.likelihood.kind](config.likelihood, self.image_shape)
        self._prior = PRIORS[config.prior.kind](config)
        self._posterior = POSTERIORS[config.posterior.kind](config)
        if config.encoder is not None:
            encoder, _ = NETWORKS[config.encoder.kind]
            self.encoder = encoder(config.encoder, self.image_shape, self._posterior.params_shape)
        _, decoder = NETWORKS[config.decoder.kind]
        self._decoded_shape = config.latent_groups[0] if config.latent_groups else self.latent_shape
        decoded = (prod(self._decoded_shape) + self.num_labels,)
        likelihood_shape = (self._likelihood.num_params, *self.image_shape[1:])
        self.decoder = decoder(
            config.decoder,
            decoded if self.num_labels else self._decoded_shape,
            likelihood_shape,
        )
        if self.num_labels:
            # A picture that the label adds to x: for an encoder that begins with a linear map the
            # same as the label beside x.
            self.label_pictures = nn.Parameter(torch.zeros(self.num_labels, *self.image_shape))
        if config.classifier is not None:
            classifier, _ = NETWORKS[config.classifier.kind]
            self.classifier = classifier(config.classifier, self.image_shape, (self.num_labels,))
        # Convolutions are 1.4 times as fast so, on CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def prior(self, y: Label | None = None) -> Prior:
        """p(z), batch shape (); p(z|y), batch shape (batch,)."""
        self._check_label(y)
        if self._frozen is not None:
            prior, stamp = self._frozen
            return prior if stamp == self.stamp() else self.freeze().prior()
        return cast(Prior, self._prior(y, self._encode_unit))

    def posterior(
        self, x: Float[Tensor, "batch channel height width"], y: Label | None = None
    ) -> Posterior:
        """q(z|x) or q(z|x,y), batch shape (batch,): an approximation made by the encoder."""
        self._check_label(y)
        if self.config.encoder is None:
            return cast(Posterior, self._posterior(self._log_joint_of_components(x), self._prior))
        return cast(Posterior, self._encode_unit(x / self.unit_scale, y))

    def likelihood(self, z: Float[Tensor, "*lead"], y: Label | None = None) -> Distribution:
        """p(x|z) or p(x|z,y); its batch shape is z's leading axes."""
        self._check_label(y)
        if self.config.latent_groups:
            z = z[..., : prod(self._decoded_shape)].unflatten(-1, self._decoded_shape)
        if y is not None:
            flat = z.flatten(-len(self._decoded_shape))
            given = F.one_hot(y, self.num_labels).to(z.dtype)
            z = torch.cat([flat, given.expand(*flat.shape[:-1], -1)], -1)
        return cast(Distribution, self._likelihood(self.decoder(z).to(z.dtype)))

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
        posterior: Posterior | None = None,
    ) -> Float[Tensor, "sample batch"]:
        """Importance log-weights log p(x, z) - log q(z|x) at the draws that the noise stands for.

        Args:
            x: Observations in the likelihood's support.
            noise: What the posterior's `from_noise` takes, (sample, batch, ...).
            y: Labels: the weights then estimate p(x|y). A model with labels that is given none
                sums over them, at the same noise for each: log sum_y p(y) w_y, for p(x).
            posterior: q(z|x) when it is known already, so that the encoder runs once whatever K;
                of `every_label(x)` where it is to be summed over.

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
        """x once with each label: rows of the first label, then of the second, and so on."""
        labels = torch.arange(self.num_labels, device=x.device).repeat_interleave(len(x))
        return x.repeat(self.num_labels, 1, 1, 1), labels

    def sum_over_labels(self, log_px_given_y: Float[Tensor, "sample row"]) -> Tensor:
        """log sum_y p(y) p(x|y), (sample, batch), from the rows of `every_label`."""
        by_label: Tensor = log_px_given_y.unflatten(1, (self.num_labels, -1))
        # The labels last, one beside the other: along another axis torch adds in an order that
        # depends on a row's place.
        return (by_label.movedim(1, -1) + self.log_label_prior).contiguous().logsumexp(-1)

    @property
    def log_label_prior(self) -> Float[Tensor, " label"]:
        """log p(y), nats, in the weights' own precision."""
        given = self.config.label_probabilities or (1.0,) * self.num_labels
        log_p = torch.tensor(given, dtype=torch.float64).log().log_softmax(0)
        return log_p.to(next(self.parameters()))

    @torch.no_grad()
    def freeze(self) -> "VAE":
        """Eval mode without gradients, for serving: a VampPrior's components are computed once.

        They are computed again when the weights are replaced or moved.
        """
        self._frozen = None
        self.eval().requires_grad_(False)
        if self.config.prior.kind == "vamp":
            self._frozen = self.prior(), self.stamp()
        return self

    def train(self, mode: bool = True) -> "VAE":
        """Training or eval mode.

        Raises:
            UnsupportedOperation: Training of a frozen model, whose prior would not follow.
        """
        if mode and self._frozen is not None:
            raise UnsupportedOperation(
                "A frozen model's prior is computed once, so that it cannot be trained; received "
                "train(). Build a VAE of the same config and load these weights into it."
            )
        return super().train(mode)

    def stamp(self) -> list[tuple[int, int]]:
        """Changes when a weight does: where each one is, and how often it was written to."""
        return [(weight.data_ptr(), weight._version) for weight in self.parameters()]

    @property
    def is_mass(self) -> bool:
        """Whether p(x|z) is a mass, so that bits per dim exist."""
        return self._likelihood.is_mass

    @property
    def has_density(self) -> bool:
        """Whether there is anything to score: false of an autoencoder."""
        return self.config.likelihood.kind != "point"

    @property
    def unit_scale(self) -> float:
        """x / unit_scale lies in [0, 1] for a picture."""
        return self._likelihood.unit_scale

    @property
    def num_latents(self) -> int:
        """How many numbers a latent holds."""
        return int(torch.Size(self.latent_shape).numel())

    def check_support(self, x: Tensor, y: Tensor | None = None) -> None:
        """Refuse observations of another shape or outside the likelihood's support, and labels.

        Raises:
            ShapeMismatch: Not (batch, channel, height, width) of this model, or not one label for
                each observation.
            OutOfSupport: Names the items and a value of each.
            InputError: A label that is none of 0..num_labels - 1.
            UnsupportedOperation: Labels, and the model has none.
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise ShapeMismatch(
                f"An observation has the shape (batch, {', '.join(map(str, self.image_shape))}); "
                f"received {tuple(x.shape)}. Resize or transpose it."
            )
        self._likelihood.check_support(x)
        if y is None:
            return
        self._check_label(y)
        if y.shape != x.shape[:1]:
            raise ShapeMismatch(
                f"Labels are one index for each observation, ({len(x)},); received "
                f"{tuple(y.shape)}. Give one each."
            )
        if bool(((y < 0) | (y >= self.num_labels)).any()):
            raise InputError(
                f"A label is one of 0..{self.num_labels - 1}; received {sorted(set(y.tolist()))}. "
                "Correct the others."
            )

    def decoder_macs(self) -> int:
        """Multiply-accumulates of one latent's decoding: the unit of the model's cost.

        Of a hierarchy with those of the networks between its groups, which each draw passes too.
        """
        counts: list[int] = []

        def count(layer: nn.Module, inputs: Any, outputs: Tensor) -> None:
            counts.append(outputs.numel() * cast(Tensor, layer.weight)[0].numel())

        between = (self._prior, self._posterior) if self.config.latent_groups else ()
        parts = [module for part in (self.decoder, *between) for module in part.modules()]
        for network in (part for part in parts if isinstance(part, Network)):
            # A copy: hooks on the model itself would count what it serves meanwhile. torch's own
            # counter loads its compiler, which takes a second and needs a folder to write to.
            copy = deepcopy(network).eval()
            for layer in copy.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    layer.register_forward_hook(count)
            with torch.no_grad():
                copy(next(self.parameters()).new_zeros(MIN_ROWS, *network.in_shape))
        return sum(counts) // MIN_ROWS

    def _encode_unit(self, unit: Tensor, y: Label | None = None) -> Any:
        """q(z|x) of pictures in [0, 1]."""
        pictures = unit * 2 - 1
        if y is not None:
            pictures = pictures + self.label_pictures[y]
        return self._posterior(self.encoder(pictures).to(unit.dtype), self._prior)

    def _log_joint_of_components(self, x: Tensor) -> Tensor:
        """log p(x, e_k) of every unit vector, (batch, K)."""
        (count,) = self.latent_shape
        components = torch.eye(count, dtype=x.dtype, device=x.device).unsqueeze(1)
        return (self.likelihood(components).log_prob(x) + self.prior().log_prob(components)).T

    def _check_label(self, y: Any) -> None:
        if y is not None and not self.num_labels:
            raise UnsupportedOperation(
                "A label needs a model with labels; this one has none. Leave the label out."
            )
        if y is None and self.num_labels:
            raise UnsupportedOperation(
                f"This model's distributions are given one of {self.num_labels} labels; received "
                "none. Name one."
            )
