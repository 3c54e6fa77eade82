"""The record of a request: what its answer, its log line, its metrics and its trace say of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

from app.api.metrics import UNKNOWN, Stage
from app.errors import Reason
from app.serving.job import Timing


@dataclass(eq=False)
class Record:
    """Facts of one request; routes fill them in, the log and the metrics read them.

    What has no argument begins as the class says, which costs nothing.
    """

    request_id: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    """The request's; of two of a name, the last."""
    started_at: float = field(default_factory=time.perf_counter)
    timings: dict[str, float] = field(default_factory=dict)
    """Milliseconds by name, for Server-Timing."""
    spans: list[tuple[str, float, float]] | None = field(default=None, init=False)
    """Name, begin and end of what was done for it, by the clock of `started_at`; None where it is
    not traced."""
    operation: str = field(default=UNKNOWN, init=False)
    model: str = field(default=UNKNOWN, init=False)
    status: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    """Status that the connection answered before the app did; 0 if it did not."""
    rejection: Reason | None = field(default=None, init=False)
    body_type: str | None = field(default=None, init=False)
    trace_id: str = field(default="", init=False)
    """32 hex digits; empty where the request is part of no trace."""
    items: int = field(default=0, init=False)
    stage: Stage = field(default="read", init=False)
    """How far it came."""
    computed: Timing | None = field(default=None, init=False)
    """What the engine says of it, once it has computed."""

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.started_at

    def end(self, name: str, began_at: float) -> None:
        """Note what ends now, in Server-Timing too."""
        now = time.perf_counter()
        self.timings[name] = (now - began_at) * 1e3
        if self.spans is not None:
            self.spans.append((name, began_at, now))

    def end_parsing(self) -> None:
        """Note that the body has been read and parsed."""
        if self.spans is not None:
            self.spans.append(("parse", self.started_at, time.perf_counter()))

    def end_compute(self, timing: Timing, admitted_at: float) -> None:
        """Note what the engine did until now: the wait, and the compute if it came to it."""
        waited = timing.queue_seconds
        self.timings["queue"] = waited * 1e3
        self.timings["compute"] = timing.compute_seconds * 1e3
        if timing.chunks:
            self.stage, self.computed = "compute", timing
        if self.spans is not None:
            now = time.perf_counter()
            began_at = admitted_at + waited if timing.chunks else now
            self.spans.append(("queue", admitted_at, began_at))
            if timing.chunks:
                self.spans.append(("compute", began_at, now))


def record_of(scope: Scope) -> Record:
    """The record of the request of an ASGI scope."""
    record: Record = scope["vae.record"]
    return record
