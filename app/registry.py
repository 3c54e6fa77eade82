"""The models that are served: every version of every bundle of the repository, verified at load.

It computes nothing and answers nobody; a broken bundle is reported and the rest serve.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch

from app.errors import ModelNotReady, UnknownModel
from app.operations import OPERATIONS, Need, Operation, Parameters
from models.bundle import Bundle, load_bundle
from models.errors import UnsupportedOperation, VAEError
from models.repository import Repository
from models.vae import VAE

log = logging.getLogger("app")

PREFERRED_DEFAULT = "mnist"
MIN_COST = 0.01
"""Cost units of one row of the smallest model: a pass has a price of its own."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle, what it can do and what it costs."""

    bundle: Bundle
    capabilities: frozenset[Need]
    cost: float
    """Cost units of one row: millions of multiply-accumulates of a decoding."""
    device: str

    @property
    def name(self) -> str:
        """Of the model."""
        return self.bundle.name

    @property
    def version(self) -> int:
        """Of the bundle."""
        return self.bundle.version

    @property
    def vae(self) -> VAE:
        """In eval mode, without gradients."""
        return self.bundle.vae

    def offers(self, operation: Operation) -> bool:
        """Whether the model meets the operation's needs."""
        return self.capabilities >= set(operation.needs)

    def unavailable_options(self, operation: Operation) -> list[str]:
        """Parameter values that this model cannot serve, as `name=value`."""
        return [
            f"{name}={value}"
            for (name, value), need in operation.option_needs.items()
            if need not in self.capabilities
        ]

    def check_needs(self, operation: Operation, parameters: Parameters) -> None:
        """Refuse what this model cannot do.

        Raises:
            UnsupportedOperation: Names the need.
        """
        missing: list[str] = sorted(set(operation.needs) - self.capabilities)
        for (name, value), need in operation.option_needs.items():
            given = getattr(parameters, name)
            chosen = given is not None if value == "*" else given == value
            if chosen and need not in self.capabilities:
                missing.append(f"{need} (for {name}={given})")
        if missing:
            raise UnsupportedOperation(
                f"`{operation.name}` as asked needs a model with {', '.join(missing)}; "
                f"{self.name} version {self.version} has none. Choose another model or leave the "
                "parameter out."
            )


def served_model(bundle: Bundle, device: str) -> ServedModel:
    """What a bundle can do and costs."""
    vae = bundle.config.vae
    capabilities: set[Need] = {"posterior", "likelihood", "prior"}
    if vae.likelihood.kind in ("bernoulli", "continuous_bernoulli"):
        capabilities.add("logits")
    if vae.prior.kind == "standard_normal":
        capabilities.add("standard_normal_prior")
    cost = max(bundle.vae.decoder_macs() / 1e6, MIN_COST)
    return ServedModel(bundle, frozenset(capabilities), cost, device)


@dataclass(frozen=True)
class BrokenBundle:
    """A bundle that is there and cannot be served."""

    name: str
    version: int | None
    reason: str


@dataclass
class Registry:
    """All models by name and version."""

    repository: Path
    default_model: str | None = None
    device: str = "cpu"
    compute_threads: int | None = None
    models: dict[str, dict[int, ServedModel]] = field(default_factory=dict)
    broken: list[BrokenBundle] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    async def wait(self) -> None:
        """Until everything is loaded."""
        await asyncio.to_thread(self._done.wait)

    @property
    def loaded(self) -> bool:
        """Whether everything that can be loaded is."""
        return self._done.is_set()

    def load(self) -> None:
        """Load everything; what cannot be loaded is logged and listed in `broken`."""
        if self.compute_threads is not None:
            torch.set_num_threads(self.compute_threads)
        repository = Repository(self.repository)
        for name in repository.names():
            for version in repository.versions(name):
                self._load_one(repository, name, version)
        if not self.models:
            log.error("no model is served", extra={"fields": {"repository": str(self.repository)}})
        self._done.set()

    def _load_one(self, repository: Repository, name: str, version: int) -> None:
        try:
            bundle = load_bundle(repository.path_of(name, version), device=self.device)
            self.models.setdefault(name, {})[version] = served_model(bundle, self.device)
        except (VAEError, OSError) as error:
            fields = {"model": name, "version": version, "error": str(error)}
            log.error("bundle refused", extra={"fields": fields})
            reason = str(error).replace(str(self.repository), "<repository>")
            self.broken.append(BrokenBundle(name, version, reason))

    @property
    def default_name(self) -> str | None:
        """Name of the model that is served where none is named."""
        if self.default_model is not None:
            return self.default_model
        if PREFERRED_DEFAULT in self.models:
            return PREFERRED_DEFAULT
        return min(self.models, default=None)

    @property
    def default_latent_shape(self) -> tuple[int, ...] | None:
        """Of the model that is served where none is named, once it is loaded."""
        versions = self.models.get(self.default_name or "", {})
        return versions[max(versions)].vae.latent_shape if self.loaded and versions else None

    def find(self, name: str | None = None, version: int | None = None) -> ServedModel:
        """A model by name and version; by default the default one and its highest version.

        Raises:
            ModelNotReady: The models are still loading.
            UnknownModel: There is none.
        """
        if not self.loaded:
            raise ModelNotReady(
                "Models answer when they are loaded; they are loading. Try again in a second.",
                headers={"Retry-After": "1"},
            )
        chosen = name if name is not None else self.default_name
        versions = self.models.get(chosen, {}) if chosen is not None else {}
        if not versions or (version is not None and version not in versions):
            asked = f"{chosen!r}" + (f" version {version}" if version is not None else "")
            have = ", ".join(f"{n} ({', '.join(map(str, v))})" for n, v in self.models.items())
            raise UnknownModel(
                f"The served models are {have or 'none'}; received {asked[:120]}. "
                "GET /v1/models lists them."
            )
        return versions[version if version is not None else max(versions)]

    def offered_operations(self, served: ServedModel) -> list[Operation]:
        """The operations whose needs the model meets."""
        return [operation for operation in OPERATIONS.values() if served.offers(operation)]
