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

from app.errors import ModelNotReady, UnknownModel
from app.operations.table import OPERATIONS, Operation
from app.serving.capabilities import example_latents
from app.serving.served_model import ServedModel, served_model
from models.bundle.loading import load_bundle
from models.bundle.repository import Repository
from models.errors import VAEError

log = logging.getLogger("app")

PREFERRED_DEFAULT = "mnist"


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
