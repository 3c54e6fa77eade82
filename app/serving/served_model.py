"""A loaded bundle: what it can do and what it costs."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from app.operations.parameters import Parameters
from app.operations.table import Abilities, Need, Operation
from app.serving.capabilities import abilities, example_latents, unmet_needs
from app.serving.drift import Drift
from models.bundle.loading import Bundle
from models.estimators.code_length import CODE_VERSION
from models.estimators.exact import has_exact_posterior
from models.estimators.typicality import Typical
from models.noise import NoiseKind, Purpose
from models.vae.model import VAE

MIN_COST = 0.01
"""Least cost units of one row: a pass of even the smallest network takes time."""
_PERCENT = np.linspace(0, 1, 101)
_DIGITS = 4
"""Of quantiles, nats: far below what a page shows."""


class StoredScores(NamedTuple):
    """Scores of held-out images, by which a caller's are ranked."""

    estimator: str
    num_samples: int
    nats: np.ndarray
    """Ascending."""


class HeldOutPictures(NamedTuple):
    """Pictures that the model has not seen."""

    source: str
    """What they show, where they are from, and their licence."""
    labels: tuple[str | None, ...]
    unit: np.ndarray
    """In 0..1, (N, C, H, W)."""


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A loaded bundle, what it can do and what it costs."""

    bundle: Bundle
    lacks: dict[Need, str]
    """The needs that it does not meet, each with the reason."""
    cost: float
    """Cost units of one row: millions of multiply-accumulates of a decoding."""
    device: str
    _noise: dict[Purpose, tuple[NoiseKind, tuple[int, ...]]] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        return self.bundle.name

    @cached_property
    def version(self) -> int:
        return self.bundle.version

    @cached_property
    def vae(self) -> VAE:
        """The network, in eval mode and without gradients."""
        return self.bundle.vae

    @cached_property
    def capabilities(self) -> Abilities:
        """The needs that it meets."""
        return abilities(self.lacks)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it is conditional on, or their indices where they have none."""
        count, names = self.vae.num_labels, self.bundle.config.labels
        return names if len(names) == count else tuple(map(str, range(count)))

    @property
    def label_probabilities(self) -> list[float]:
        """p(y), in the order of `labels`."""
        config = self.vae.config
        uniform = [1 / config.num_labels] * config.num_labels if config.num_labels else []
        return list(config.label_probabilities) or uniform

    @cached_property
    def stored_scores(self) -> list[StoredScores]:
        """The bundle's scores of held-out images."""
        return [
            StoredScores(kept.estimator, kept.num_samples, np.asarray(kept.values_nats))
            for kept in self.bundle.evaluation.references
        ]

    @property
    def stored_elbos(self) -> np.ndarray | None:
        """Those of the ELBO, nats, ascending."""
        return next((kept.nats for kept in self.stored_scores if kept.estimator == "elbo"), None)

    @cached_property
    def reference_quantiles(self) -> dict[str, list[float] | None]:
        """The 0 %, 1 %, ..., 100 % quantiles of the stored scores, nats, by what they are.

        Those of `iwae` and `prior`, which depend on K, by K too; `elbo_nats` is None without any.
        """
        found: dict[str, list[float] | None] = {"elbo_nats": None}
        for estimator, num_samples, nats in reversed(self.stored_scores):
            by_draws = f"_{num_samples}" if estimator in ("iwae", "prior") else ""
            quantiles = np.quantile(nats, _PERCENT).round(_DIGITS)
            found[f"{estimator}{by_draws}_nats"] = quantiles.tolist()
        return found

    @cached_property
    def good_pictures_are_refined(self) -> bool:
        """Whether anomaly scores need a posterior refined for each picture."""
        stored = self.bundle.good_pictures
        return stored is not None and "likelihood_regret" in stored.fitted

    @cached_property
    def typical(self) -> Typical:
        """Scores of good pictures, of a model that has the need `good_pictures`."""
        stored = self.bundle.good_pictures
        assert stored is not None  # the operation's needs were checked
        return Typical.of(stored)

    @cached_property
    def examples(self) -> HeldOutPictures:
        """Held-out pictures, of a model that has the need `examples`."""
        kept = self.bundle.examples
        assert kept is not None  # the need was checked
        return HeldOutPictures(kept.source, kept.labels, kept.pictures(self.bundle.config.image))

    @cached_property
    def drift(self) -> Drift:
        """The p-values of this worker's requests, of a model that has the need `good_pictures`."""
        return Drift(len(self.typical.evidence))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes of `classify`: labels, or the indices of a mixture's components."""
        if "classes" in self.lacks:
            return ()
        return self.labels or tuple(map(str, range(self.vae.num_latents)))

    @torch.no_grad()
    def noise(self, purpose: Purpose) -> tuple[NoiseKind, tuple[int, ...]]:
        """Kind and shape of the noise of one draw from the posterior, prior or likelihood."""
        if purpose not in self._noise:
            vae, weight = self.vae, next(self.vae.parameters())
            y = weight.new_zeros(1, dtype=torch.int64) if vae.num_labels else None
            if purpose == "prior":
                drawn = vae.prior(y)
            elif purpose == "posterior":
                drawn = vae.posterior(weight.new_zeros(1, *vae.image_shape), y)
            else:
                drawn = vae.likelihood(weight.new_zeros(1, *vae.latent_shape), y)
            self._noise[purpose] = drawn.noise_kind, tuple(drawn.noise_event_shape)
        return self._noise[purpose]

    def offers(self, operation: Operation) -> bool:
        """Whether the model meets the operation's needs."""
        return not any(need in self.lacks for need in operation.needs)

    def unavailable_options(self, operation: Operation) -> list[str]:
        """Parameter values that this model cannot serve, as `name=value`."""
        return [
            f"{name}={value}"
            for (name, value), need in operation.option_needs.items()
            if need in self.lacks
        ]

    def missing_needs(self, operation: Operation, parameters: Parameters) -> dict[Need, str]:
        """The needs of a request that the model does not meet.

        Returns:
            Each with the parameter value that has it (`label=seven`), or "" for the operation.
        """
        missing = dict.fromkeys((need for need in operation.needs if need in self.lacks), "")
        for (name, value), need in operation.option_needs.items():
            given, default = getattr(parameters, name), type(parameters).model_fields[name].default
            chosen = given != default if value == "*" else given == value
            if chosen and need in self.lacks:
                missing.setdefault(need, f"{name}={given}")
        return missing


def serve_bundle(bundle: Bundle, device: str) -> ServedModel:
    """Find out what a loaded bundle can do and costs."""
    lacks = unmet_needs(
        bundle.config.vae,
        exact_posterior=has_exact_posterior(bundle.vae),
        kept=_kept(bundle),
    )
    cost = max(bundle.vae.decoder_macs() / 1e6, MIN_COST)
    return ServedModel(bundle, lacks, cost, device)


def _kept(bundle: Bundle) -> set[Need]:
    """The needs that the bundle's optional files meet; code lengths must be this version's."""
    good = bundle.good_pictures
    kept: dict[Need, bool] = {
        "good_pictures": good is not None and good.code_version == CODE_VERSION,
        "examples": bundle.examples is not None,
        "map": bundle.latent_map is not None,
    }
    return {need for need, is_kept in kept.items() if is_kept}


@torch.no_grad()
def warm_up(served: ServedModel) -> None:
    """Encode and decode one row, so that the first requests need not wait for what torch sets up.

    It is a check as well: a model that cannot do it is not served.
    """
    vae, weight = served.vae, next(served.vae.parameters())
    y = weight.new_zeros(1, dtype=torch.int64) if vae.num_labels else None
    if "encoder" not in served.lacks:
        _ = vae.posterior(weight.new_zeros(1, *vae.image_shape), y).mean
    z = torch.as_tensor(example_latents(vae.config), dtype=weight.dtype, device=weight.device)
    _ = vae.likelihood(z, y).mean
