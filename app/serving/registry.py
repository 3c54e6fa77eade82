"""The served models by name and version, which of them is the default, and what is refused.

What is served is one snapshot, which loading replaces as a whole.
"""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin
from urllib.parse import quote
from weakref import ref

import torch

from app.errors import ModelNotReady, NoDefaultModel, UnknownModel
from app.operations.parameters import Parameters
from app.operations.table import Operation
from app.serving.capabilities import example_latents
from app.serving.catalogue import PREFERRED_DEFAULT, choose_default
from app.serving.loading import Loader, Record
from app.serving.served_model import ServedModel
from app.serving.snapshot import BrokenBundle, ModelState, Snapshot
from models.errors import UnsupportedOperation, closest
from models.memory import keep_freed_memory

log = logging.getLogger("app.registry")

LOADING = "The models are still loading. Retry in a second."
MAX_NAMED = 3
"""How many other models a refusal names."""


@dataclass
class Registry:
    """The models by name and version."""

    repository: Path
    default_model: str | None = None
    device: str = "cpu"
    compute_threads: int | None = None
    load_models: tuple[str, ...] = ()
    record: Record | None = None
    current: Snapshot = field(default_factory=Snapshot)
    published: int = 0
    """How often `current` was replaced: what it says is the same while this is."""
    loader: Loader = field(init=False)
    _retired: list[tuple[str, int, str, "ref[ServedModel]"]] = field(default_factory=list)
    """Models out of service that requests may still hold."""
    _done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.loader = Loader(self.repository, self.device, self.load_models, self.record)

    @property
    def models(self) -> Mapping[str, Mapping[int, ServedModel]]:
        """The models that are served, by name and version."""
        return self.current.models

    @property
    def broken(self) -> tuple[BrokenBundle, ...]:
        """The bundles that cannot be served."""
        return self.current.broken

    @property
    def fault(self) -> str | None:
        """Why the repository was not read to its end; None if it was."""
        return self.current.fault

    async def wait(self) -> None:
        """Wait until everything is loaded."""
        await asyncio.to_thread(self._done.wait)

    @property
    def loaded(self) -> bool:
        """Whether everything that can be loaded is."""
        return self._done.is_set()

    def load(self) -> None:
        """Load every bundle; a broken one is logged and listed in `broken`.

        Loading ends whatever happens, so that nobody waits for ever.
        """
        try:
            keep_freed_memory()
            if self.compute_threads is not None:
                torch.set_num_threads(self.compute_threads)
            self.loader.load(self.publish)
        except Exception as error:  # whatever it is, the models loaded so far are served
            self.publish(self.loader.stop(error))
        finally:
            self._done.set()
        self._report()

    def publish(self, snapshot: Snapshot) -> None:
        """Serve a snapshot from now on; requests that hold a model of the last one keep it.

        While the service runs, call it on the event loop's thread, where readers are.
        """
        if snapshot == self.current:
            return
        staying = set(map(id, snapshot.served()))
        self._retired += [
            (served.name, served.version, served.bundle.digest, ref(served))
            for served in self.current.served()
            if id(served) not in staying
        ]
        self.current = snapshot
        self.published += 1

    def states(self) -> list[ModelState]:
        """The state of every version."""
        self._retired = [retired for retired in self._retired if retired[3]() is not None]
        draining = [ModelState(n, v, "draining", digest=d) for n, v, d, _ in self._retired]
        return [*self.current.states(), *draining]

    def _report(self) -> None:
        """Log what the operator must know once everything is loaded."""
        if not self.models:
            reason = {"repository": str(self.repository), "reason": self._why_nothing()}
            log.error("no model is served", extra={"fields": reason})
        elif self.default_name is None:
            fix = {"models": sorted(self.models), "fix": "Set VAE_DEFAULT_MODEL to one of them."}
            log.warning("no default model", extra={"fields": fix})
        elif self.default_name not in self.models:
            default = {"model": self.default_name}
            log.error("the default model is not served", extra={"fields": default})

    @property
    def why_not_served(self) -> str | None:
        """Why models are missing: they are loading, or there is none; else None."""
        if not self.loaded:
            return LOADING
        return None if self.models else self._why_nothing()

    def _why_nothing(self) -> str:
        if self.fault is not None:
            return self.fault
        if self.current.waiting:
            return "The models are not loaded; GET /v1/models lists their states."
        if not self.broken:
            return "VAE_MODEL_REPOSITORY holds no bundles. Put one into it, <model>/<version>/."
        first, *others = self.broken
        more = f" {len(others)} more are broken: see GET /v1/models." if others else ""
        return f"{first.name} is broken: {first.reason}{more}"

    @property
    def default_name(self) -> str | None:
        """Name of the model that answers where a path names none.

        It is the one that the operator named, or mnist, or the only one. Of several others none is
        silently preferred, nor does another stand in for a broken or unloaded mnist.
        """
        missing = self.current.is_broken(PREFERRED_DEFAULT) or any(
            self.current.waits(PREFERRED_DEFAULT, state) for state in ("loading", "unloaded")
        )
        complete = self.loaded and not missing
        return choose_default(self.default_model, self.models, complete=complete)

    @property
    def default_latents(self) -> dict[str, Any] | None:
        """An example body that the default model decodes, once it is loaded."""
        versions = self.models.get(self.default_name or "", {})
        if not (self.loaded and versions):
            return None
        served = versions[max(versions)]
        body = {"latents": example_latents(served.bundle.config.vae).tolist()}
        return body | ({"label": served.labels[0]} if served.labels else {})

    def find(
        self, name: str | None = None, version: int | None = None, *, operation: str = "sample"
    ) -> ServedModel:
        """A model by name and version; by default the default model and its highest version.

        Args:
            name: The model's.
            version: The version.
            operation: The operation that a refusal shows how to ask for.

        Raises:
            ModelNotReady: The models, or the one that is named, are still loading.
            NoDefaultModel: No name is given, and no model is the default.
            UnknownModel: There is no such model or version; says the closest, and all.
        """
        if not self.loaded:
            raise ModelNotReady(LOADING, headers={"Retry-After": "1"})
        chosen = name if name is not None else self.default_name
        if chosen is None and self.models:
            raise self._no_default(operation)
        versions = self.models.get(chosen or "", {})
        if version not in versions and (version is not None or not versions):
            if self.current.waits(chosen or "", "loading", version):
                fault = f"The model {chosen} is still loading. Retry in a second."
                raise ModelNotReady(fault, headers={"Retry-After": "1"})
            if version is None or not versions:
                raise self._unknown_model(chosen, is_default=name is None)
            raise self._unknown_version(str(chosen), version)
        return versions[version if version is not None else max(versions)]

    def _no_default(self, operation: str) -> NoDefaultModel:
        names = sorted(self.models)
        path = f"/v1/models/{names[0]}/{operation}"
        return NoDefaultModel(
            f"This server has no default model. Name one in the path: {path}. Available: "
            f"{', '.join(names)}.",
            parameter="model",
            allowed=names,
            suggestion=path,
        )

    def _unknown_model(self, name: str | None, *, is_default: bool) -> UnknownModel:
        names = sorted(self.models)
        if name is None or not names:
            return UnknownModel(f"This server has no models. {self._why_nothing()}")
        available = f"Available: {', '.join(names)}."
        received = repr(name[:60])
        is_broken = self.current.is_broken(name)
        is_unloaded = self.current.waits(name, "unloaded")
        if is_default:
            fault = "is not loaded" if is_unloaded else "does not exist"
            fault = "is broken and not served" if is_broken else fault
            return UnknownModel(
                f"The model {received}, this server's default (VAE_DEFAULT_MODEL), {fault}. Name a "
                f"model in the path, such as /v1/models/{names[0]}. {available}",
                parameter="VAE_DEFAULT_MODEL",
                received=name[:60],
                allowed=names,
                suggestion=names[0],
            )
        meant = closest(name, names)
        if is_broken:
            fault = f"The model {received} is broken and not served; GET /v1/models says why."
        elif is_unloaded:
            fault = f"The model {received} is not loaded. Its operator can load it."
        else:
            fault = f"There is no model {received}." + (
                f" Did you mean {meant!r}?" if meant else ""
            )
        return UnknownModel(
            f"{fault} {available}",
            parameter="model",
            received=name[:60],
            allowed=names,
            suggestion=meant,
        )

    def _unknown_version(self, name: str, version: int) -> UnknownModel:
        versions = sorted(self.models[name])
        listed = ", ".join(map(str, versions))
        fault = (
            "is not loaded" if self.current.waits(name, "unloaded", version) else "does not exist"
        )
        if self.current.is_broken(name, version):
            fault = "is broken: GET /v1/models says why"
        return UnknownModel(
            f"Version {version} of {name} {fault}. Available: {listed}. Leave the version out for "
            f"the highest: /v1/models/{name}.",
            parameter="version",
            received=version,
            allowed=versions,
            suggestion=versions[-1],
        )

    def check_needs(
        self, served: ServedModel, operation: Operation, parameters: Parameters
    ) -> None:
        """Refuse what a model cannot do.

        Raises:
            UnsupportedOperation: Says why, and which served models can.
        """
        missing = served.missing_needs(operation, parameters)
        if not missing:
            return
        options = list(dict.fromkeys(filter(None, missing.values())))
        of_options = "" not in missing.values()
        reasons = "; ".join(dict.fromkeys(served.lacks[need] for need in missing))
        able = self._able(served, operation, parameters)
        names = [option.partition("=")[0] for option in options]
        fixes = []
        if able:
            query = f"?{'&'.join(quote(option, safe='=') for option in options)}" if options else ""
            path = f"/v1/models/{able[0]}/{operation.name}{query}"
            fixes = [f"{listed(able, 'and')} can: {path}."]
        elif not of_options:
            fixes = ["No other served model can."]
        if of_options:
            fixes.append(f"{'Or leave' if able else 'Leave'} {listed(names, 'and')} out.")
        action = operation.action or operation.name
        asked = action + (f" with {' and '.join(options)}" if options else "")
        details: dict[str, Any] = {"parameter": "model", "received": served.name}
        if able:
            details |= {"allowed": able, "suggestion": able[0]}
        elif of_options:
            details = _without(served, operation, options[0])
        raise UnsupportedOperation(
            f"{served.name} cannot {asked}: {reasons}. {' '.join(fixes)}", **details
        )

    def _able(self, served: ServedModel, operation: Operation, parameters: Parameters) -> list[str]:
        """Other models that can do the same with the same items; those of its image size first."""
        label = getattr(parameters, "label", None)
        highest = [versions[max(versions)] for _, versions in sorted(self.models.items())]
        able = [
            other
            for other in highest
            if other.name != served.name
            and not other.missing_needs(operation, parameters)
            and (label is None or label in other.labels)
            and (
                operation.takes != ("latents",) or other.vae.latent_shape == served.vae.latent_shape
            )
        ]
        size = served.bundle.config.image.shape
        able.sort(key=lambda other: other.bundle.config.image.shape != size)
        return [other.name for other in able[:MAX_NAMED]]


def _without(served: ServedModel, operation: Operation, option: str) -> dict[str, Any]:
    """Members of the problem of a `name=value` that no served model can serve."""
    name, _, received = option.partition("=")
    declared = operation.parameters.model_fields[name]
    unavailable = served.unavailable_options(operation)
    choices = [str(value) for value in get_args(declared.annotation)]
    allowed = [value for value in choices if f"{name}={value}" not in unavailable]
    return {
        "parameter": name,
        "received": received,
        "allowed": allowed if get_origin(declared.annotation) is Literal else None,
        "suggestion": declared.default,
    }


def listed(names: Sequence[str], conjunction: str) -> str:
    """Names with commas: "a, b and c"."""
    return f" {conjunction} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
