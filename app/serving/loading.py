"""Loading of the repository's bundles, at the start and when its folders change.

A bundle that fails leaves what its folder served before. `sync` may be called on any thread, one
call at a time.
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.serving.served_model import ServedModel, serve_bundle, warm_up
from app.serving.snapshot import BrokenBundle, Snapshot
from app.serving.wishes import Target, Wishes
from models.bundle.loading import load_bundle
from models.bundle.repository import Entry, Repository
from models.errors import BundleCorrupt, BundleNotFound, VAEError, printable

log = logging.getLogger("app.registry")

Fingerprint = tuple[Any, ...]
Publish = Callable[[Snapshot], None]
Record = Callable[[ServedModel], None]
"""Makes a model's passes quicker before it is served."""


def fingerprint(entry: Entry) -> Fingerprint:
    """What changes when a file of a bundle's folder does, without reading one.

    Times of change and inodes are in it because a copy may keep size and time of modification.
    """
    if entry.fault is not None:
        return (entry.fault,)
    try:
        with os.scandir(entry.path) as found:
            stats = [(file.name, file.stat(follow_symlinks=False)) for file in found]
    except OSError as error:
        return (error.errno,)
    return tuple(sorted((n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in stats))


@dataclass(frozen=True)
class Slot:
    """A folder of the repository, and what is served from it."""

    entry: Entry
    mark: Fingerprint | None
    """Of what was loaded, or failed to; None where nothing is to be loaded."""
    served: ServedModel | None = None
    reason: str | None = None
    """Why the folder's bundle is broken."""
    try_again: bool = False
    """Whether the failure may pass without a change of the folder, such as one of a disk."""


@dataclass
class Loader:
    """The folders of a repository and what is served from them."""

    repository: Path
    device: str = "cpu"
    load_models: tuple[str, ...] = ()
    """Models to load where no command says otherwise; none: all."""
    record: Record | None = None
    wishes: Wishes = field(default_factory=Wishes)
    slots: dict[Path, Slot] = field(default_factory=dict)
    started: bool = False
    """Whether the first loading has ended; what changes since then is logged."""
    _fault: str | None = None
    _loading: Entry | None = None
    _seen: dict[Path, Fingerprint] = field(default_factory=dict)
    """Fingerprints at the last look."""

    def load(self, publish: Publish) -> None:
        """Load every bundle that is wanted, for the first time.

        Raises:
            BundleNotFound: The repository cannot be read.
        """
        self._sync(Repository(self.repository).entries(), publish)
        self.started = True

    def sync(
        self, publish: Publish, *, targets: Iterable[Target] | None = None, settled: bool = False
    ) -> None:
        """Load what is new, changed or wanted, then drop what is gone or not wanted any more.

        A repository that cannot be read, or is empty at once, changes nothing: a volume may be
        unmounted for a moment.

        Args:
            publish: Told each new snapshot.
            targets: The models that are meant; absent: all.
            settled: Whether a change must be seen twice, as a folder may still be written.
        """
        try:
            entries = Repository(self.repository).entries()
            if not entries and any(slot.served for slot in self.slots.values()):
                raise BundleNotFound(f"The model repository {self.repository} is empty.")
        except BundleNotFound as error:
            self._report_fault(error)
            for slot in list(self.slots.values()):
                if slot.served is not None and not self._is_wanted(slot.entry):
                    self._unload(slot.entry)
            publish(self.snapshot())
            return
        if self._fault is not None:
            self._fault = None
            publish(self.snapshot())
        self._sync(entries, publish, targets=targets, settled=settled)

    def _sync(
        self,
        entries: list[Entry],
        publish: Publish,
        *,
        targets: Iterable[Target] | None = None,
        settled: bool = False,
    ) -> None:
        meant = None if targets is None else tuple(targets)
        found = {entry.path: entry for entry in entries if _is_meant(meant, entry)}
        marks = {path: fingerprint(entry) for path, entry in found.items()}
        for path, entry in sorted(found.items(), key=lambda pair: _order(pair[1])):
            still = not settled or self._seen.get(path) == marks[path]
            if still and self._is_due(entry, marks[path], retry_broken=not settled):
                self._loading = entry
                publish(self.snapshot())
                self._load(entry, marks[path], settled=settled)
                self._loading = None
                publish(self.snapshot())
        gone = [path for path, slot in self.slots.items() if path not in found]
        for path in gone:
            slot = self.slots[path]
            missed_before = not settled or path not in self._seen
            if _is_meant(meant, slot.entry) and missed_before and not self._stands_in(slot, found):
                del self.slots[path]
                self._log("bundle removed", slot.entry)
        self._seen = marks
        publish(self.snapshot())

    def _is_due(self, entry: Entry, mark: Fingerprint, *, retry_broken: bool) -> bool:
        """Whether a bundle is to be loaded now; one that is not wanted is dropped."""
        slot = self.slots.get(entry.path)
        if entry.fault is None and not self._is_wanted(entry):
            if slot is None or slot.mark is not None:
                self._unload(entry)
            return False
        if slot is None or slot.mark != mark:
            return True
        return slot.try_again or (retry_broken and slot.reason is not None)

    def _unload(self, entry: Entry) -> None:
        if entry.path in self.slots:
            self._log("bundle unloaded", entry)
        self.slots[entry.path] = Slot(entry, None)

    def _is_wanted(self, entry: Entry) -> bool:
        wanted = self.wishes.wants(entry.name, entry.version)
        if wanted is None:
            return not self.load_models or entry.name in self.load_models
        return wanted

    def _load(self, entry: Entry, mark: Fingerprint, *, settled: bool) -> None:
        old = self.slots.get(entry.path)
        before = None if old is None else old.served
        try:
            if entry.fault is not None:
                raise BundleCorrupt(entry.fault)
            bundle = load_bundle(entry.path, device=self.device)
            served = before
            if before is None or before.bundle.digest != bundle.digest:
                served = serve_bundle(bundle, self.device)
                warm_up(served)
                if self.record is not None:
                    self.record(served)
                self._log("bundle loaded", entry, digest=bundle.digest)
            self.slots[entry.path] = Slot(entry, mark, served)
        except Exception as error:  # torch, safetensors and the disk fail in classes of their own
            if settled and fingerprint(entry) != mark:  # it is being written
                return
            reason = self._explain(error)
            if old is None or old.reason != reason:
                self._log_failure("bundle refused", error, model=entry.name, version=entry.version)
            lasting = isinstance(error, VAEError)
            self.slots[entry.path] = Slot(entry, mark, before, reason, try_again=not lasting)

    def _stands_in(self, slot: Slot, found: dict[Path, Entry]) -> bool:
        """Whether a removed version must stay: its model's other versions are all broken or new."""
        if slot.served is None:
            return False
        others = [entry for entry in found.values() if entry.name == slot.entry.name]
        serving = any(
            other.served is not None and other is not slot and other.entry.name == slot.entry.name
            for other in self.slots.values()
        )
        return not serving and any(self._is_wanted(entry) for entry in others)

    def snapshot(self) -> Snapshot:
        """What is served now."""
        models: dict[str, dict[int, ServedModel]] = {}
        broken: list[BrokenBundle] = []
        waiting: dict[tuple[str, int], Any] = {}
        for _, slot in sorted(self.slots.items()):
            name, version = slot.entry.name, slot.entry.version
            if slot.served is not None:
                models.setdefault(name, {})[slot.served.version] = slot.served
            if slot.reason is not None:
                broken.append(BrokenBundle(name, version, slot.reason))
            elif slot.mark is None and version is not None:
                waiting[name, version] = "unloaded"
        entry = self._loading
        if entry is not None and entry.version is not None:
            slot_of_it = self.slots.get(entry.path)
            if slot_of_it is None or slot_of_it.served is None:
                waiting[entry.name, entry.version] = "loading"
        return Snapshot(models, tuple(broken), waiting, self._fault)

    # Reports ---------------------------------------------------------------------------------

    def stop(self, error: Exception) -> Snapshot:
        """The snapshot after a failure that is no bundle's own."""
        self._fault, self._loading, self.started = self._explain(error), None, True
        self._log_failure("loading stopped", error)
        return self.snapshot()

    def _report_fault(self, error: Exception) -> None:
        fault = self._explain(error)
        served = any(slot.served for slot in self.slots.values())
        fault += " The models that were loaded before go on serving." if served else ""
        if fault != self._fault:
            self._log_failure("repository not read", error)
        self._fault = fault

    def _explain(self, error: Exception) -> str:
        """Say a failure without the paths of this machine."""
        return printable(_words(error).replace(str(self.repository), "<repository>"))

    def _log_failure(self, message: str, error: Exception, **fields: Any) -> None:
        unforeseen = None if isinstance(error, VAEError | OSError) else error
        named = {"fields": {**fields, "error": printable(_words(error))}}
        log.error(message, exc_info=unforeseen, extra=named)

    def _log(self, message: str, entry: Entry, **fields: Any) -> None:
        if self.started:
            named = {"model": entry.name, "version": entry.version, **fields}
            log.info(message, extra={"fields": named})


def _is_meant(targets: tuple[Target, ...] | None, entry: Entry) -> bool:
    return targets is None or any(t.covers(entry.name, entry.version) for t in targets)


def _order(entry: Entry) -> tuple[str, int, str]:
    """By name and version, so that a lower version never follows a higher one into service."""
    return entry.name, entry.version or 0, str(entry.path)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename} cannot be read: {error.strerror}. Check its permissions."
    return str(error) or type(error).__name__
