"""Models that change while the service runs: by the repository's folders, or by commands.

Bundles are read on a thread. What is served changes on the event loop, between two requests.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal

from app.errors import BrokenModel, UnknownModel
from app.serving.loading import Slot
from app.serving.model_control import Board, Report
from app.serving.registry import Registry
from app.serving.snapshot import ModelState, Snapshot
from app.serving.wishes import Action, Target
from models.bundle.repository import Repository
from models.errors import VAEError, closest

log = logging.getLogger("app.registry")

ModelControl = Literal["none", "poll", "explicit"]
TICK_SECONDS = 0.2
"""Seconds between two looks at the commands and at the models that drain."""
ANSWER_TICK_SECONDS = 0.02


class Reloader:
    """Keeps the registry as the repository is, or as the operator commands."""

    def __init__(
        self,
        registry: Registry,
        board: Board,
        *,
        control: ModelControl = "none",
        poll_seconds: float = 5.0,
        on_states: Callable[[Collection[ModelState]], None] = lambda states: None,
    ) -> None:
        """Prepare; `run` begins.

        Args:
            registry: What is served.
            board: Where commands are found, and where this worker reports.
            control: Whether the repository decides, the operator, or neither.
            poll_seconds: Seconds between two looks at the repository.
            on_states: Told the state of every version, when one changes.
        """
        self.registry, self.board, self.control = registry, board, control
        self.poll_seconds, self.on_states = poll_seconds, on_states
        self._turn = asyncio.Lock()
        """Held while bundles are loaded, so that commands for one model do the work once."""
        self._done = 0
        """Number of the newest command that was carried out."""
        self._states: list[ModelState] = []
        self._reported = False
        self._next_poll = 0.0

    async def catch_up(self) -> None:
        """Serve what is there now: this process may serve what another one loaded long ago."""
        await self._look(settled=False)

    async def run(self) -> None:
        """Follow the repository or the commands until cancelled."""
        await self.registry.wait()
        self.tell_states()
        try:
            while self.control != "none":
                await self._look(settled=True)
                await asyncio.sleep(min(TICK_SECONDS, self.poll_seconds))
        finally:
            self.board.close()

    async def _look(self, *, settled: bool) -> None:
        """Look at the commands, or at the repository where it is time, and do what is due."""
        try:
            if self.control == "explicit":
                await self.obey()
            elif self.control == "poll" and time.monotonic() >= self._next_poll:
                await self._sync(settled=settled)
                self._next_poll = time.monotonic() + self.poll_seconds
        except Exception as error:  # whatever it is, the next look may succeed
            log.error("reloading failed", exc_info=error)
        self.tell_states()

    def tell_states(self) -> None:
        """Tell the state of every version, if one has changed."""
        states = self.registry.states()
        if states != self._states:
            self._states = states
            self.on_states(states)

    async def command(self, action: Action, target: Target, *, seconds: float) -> tuple[int, int]:
        """Load or unload a model, or one version of it, in every worker.

        Args:
            action: What to do.
            target: The model.
            seconds: How long to wait for the other workers.

        Returns:
            The number of workers that have done it, and of all.

        Raises:
            UnknownModel: There is no such model or version; says the closest, and all.
            BrokenModel: The bundle cannot be loaded; says why.
        """
        await asyncio.to_thread(self._check_known, target)
        wishes = self.board.add(action, target)
        await self.obey()
        if action == "load":
            self._check_loaded(target)
        versions = [v for v in self._served(target.name) if target.covers(target.name, v)]
        return await self._agreement(target, versions, wishes.number, seconds)

    async def obey(self) -> None:
        """Carry out the commands that are new, and report.

        A worker that starts reports before it reads: commands from then on wait for it.
        """
        async with self._turn:
            if not self._reported:
                self._report()
            wishes = self.board.read()
            targets = list(wishes.since(self._done))
            if targets:
                self.registry.loader.wishes = wishes
                await self._sync_now(targets=targets)
                self._done = wishes.number
                self.tell_states()
                self._report()

    def _report(self) -> None:
        served = {name: self._served(name) for name in self.registry.models}
        self.board.report(Report(self._done, served))
        self._reported = True

    async def _sync(self, **options: Any) -> None:
        async with self._turn:
            await self._sync_now(**options)

    async def _sync_now(self, **options: Any) -> None:
        loop, registry = asyncio.get_running_loop(), self.registry

        def publish(snapshot: Snapshot) -> None:
            loop.call_soon_threadsafe(registry.publish, snapshot)

        await asyncio.to_thread(partial(registry.loader.sync, publish, **options))

    def _served(self, name: str) -> list[int]:
        return sorted(self.registry.models.get(name, ()))

    def _slots(self, target: Target) -> list[Slot]:
        """The folders that a target means, by version."""
        found = [s for s in self.registry.loader.slots.values() if target.covers(*_place(s))]
        return sorted(found, key=lambda slot: slot.entry.version or 0)

    def _check_known(self, target: Target) -> None:
        """Refuse a model that is neither in the repository nor served.

        Raises:
            UnknownModel: Says the closest, and all.
        """
        try:
            entries = Repository(self.registry.repository).entries()
        except VAEError:
            entries = []
        places: set[tuple[str, int | None]] = {(e.name, e.version) for e in entries if e.version}
        places |= {_place(slot) for slot in list(self.registry.loader.slots.values())}
        if any(target.covers(*place) for place in places):
            return
        names = sorted({name for name, _ in places})
        versions = sorted(v for name, v in places if name == target.name and v is not None)
        if versions:
            raise UnknownModel(
                f"{target.name} has no version {target.version}. Its versions are "
                f"{', '.join(map(str, versions))}.",
                parameter="version",
                received=target.version,
                allowed=versions,
                suggestion=versions[-1],
            )
        meant = closest(target.name, names)
        hint = f" Did you mean {meant!r}?" if meant else ""
        raise UnknownModel(
            f"There is no model {target.name[:60]!r} in the repository.{hint} Put its bundle into "
            f"<repository>/<model>/<version>/. Available: {', '.join(names) or 'none'}.",
            parameter="model",
            received=target.name[:60],
            allowed=names,
            suggestion=meant,
        )

    def _check_loaded(self, target: Target) -> None:
        """Refuse where the newest bundle that is meant is broken.

        Raises:
            BrokenModel: Says why, and what serves instead.
        """
        slots = self._slots(target)
        fault = self.registry.fault if not slots or self.registry.fault else slots[-1].reason
        if slots and fault is None:
            return
        served = self._served(target.name)
        serving = f"Version {served[-1]} goes on serving." if served else "No version serves."
        reason = fault or "its folder was removed."
        raise BrokenModel(
            f"{target} cannot be loaded: {reason} {serving}",
            parameter="model",
            received=str(target),
        )

    async def _agreement(
        self, target: Target, versions: list[int], number: int, seconds: float
    ) -> tuple[int, int]:
        """Wait until every worker has done a command; how many have, and how many there are."""
        ends_at = time.monotonic() + seconds
        while True:
            reports = await asyncio.to_thread(self.board.reports)
            done = [report for report in reports if report.number >= number]
            if len(done) == len(reports) or time.monotonic() >= ends_at:
                agreeing = [report for report in done if report.agrees(target, versions)]
                return len(agreeing), len(reports)
            await asyncio.sleep(ANSWER_TICK_SECONDS)


def _place(slot: Slot) -> tuple[str, int | None]:
    return slot.entry.name, slot.entry.version
