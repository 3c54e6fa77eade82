"""The models that are served: every version of every bundle of the repository, verified at load.

It computes nothing and answers nobody; a broken bundle is reported and the rest serve.
"""

import asyncio
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from app.compute.latents import example_latents
from app.errors import ModelNotReady, UnknownModel
from app.operations.table import OPERATIONS, Abilities, Need, Operation, Parameters
from app.serving.capabilities import abilities, lacking
from models.bundle.loading import Bundle, load_bundle
from models.bundle.repository import Repository
from models.errors import UnsupportedOperation, VAEError
from models.vae.model import VAE

log = logging.getLogger("app")

PREFERRED_DEFAULT = "mnist"
MIN_COST = 0.01
"""Cost units of one row of the smallest model: a pass has a price of its own."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle, what it can do and what it costs."""

    bundle: Bundle
    lacks: dict[Need, str]
    """What it cannot do, and why."""
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

    @property
    def capabilities(self) -> Abilities:
        """What it can do."""
        return abilities(self.lacks)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it is conditional on, or their indices where they have none."""
        count, names = self.vae.num_labels, self.bundle.config.labels
        return names if len(names) == count else tuple(map(str, range(count)))

    @property
    def label_probabilities(self) -> list[float]:
        """p(y), in the order of the labels."""
        config = self.vae.config
        uniform = [1 / config.num_labels] * config.num_labels if config.num_labels else []
        return list(config.label_probabilities) or uniform

    @property
    def classes(self) -> tuple[str, ...]:
        """What `classify` chooses among: labels, or the indices of a mixture's components."""
        if "classes" in self.lacks:
            return ()
        return self.labels or tuple(map(str, range(self.vae.num_latents)))

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

    def check_needs(self, operation: Operation, parameters: Parameters) -> None:
        """Refuse what this model cannot do.

        Raises:
            UnsupportedOperation: Names the needs, and says why they are not met.
        """
        missing = {need: in_words(need) for need in operation.needs if need in self.lacks}
        remedy = "Choose another model"
        for (name, value), need in operation.option_needs.items():
            given, default = getattr(parameters, name), type(parameters).model_fields[name].default
            chosen = given != default if value == "*" else given == value
            if chosen and need in self.lacks and need not in missing:
                missing[need] = f"{in_words(need)} (for {name}={given})"
                remedy = "Choose another model or leave the parameter out"
        if missing:
            reasons = "; ".join(dict.fromkeys(self.lacks[need] for need in missing))
            raise UnsupportedOperation(
                f"`{operation.name}` as asked needs a model with {', '.join(missing.values())}; "
                f"{self.name} version {self.version} has none: {reasons}. {remedy}."
            )


def in_words(need: Need) -> str:
    """A need as a sentence has it."""
    return need.replace("_", " ")


def served_model(bundle: Bundle, device: str) -> ServedModel:
    """What a bundle can do and costs."""
    cost = max(bundle.vae.decoder_macs() / 1e6, MIN_COST)
    return ServedModel(bundle, lacking(bundle.vae), cost, device)


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
    def default_latents(self) -> dict[str, Any] | None:
        """A body that the default model decodes, once it is loaded."""
        versions = self.models.get(self.default_name or "", {})
        if not (self.loaded and versions):
            return None
        served = versions[max(versions)]
        body = {"latents": example_latents(served.vae).tolist()}
        return body | ({"label": served.labels[0]} if served.labels else {})

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
