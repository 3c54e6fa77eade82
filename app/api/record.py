"""The record of a request: what its answer, its log line and its metrics say of it."""

import time
from dataclasses import dataclass, field

from starlette.types import Scope

from app.api.metrics import UNKNOWN


@dataclass
class Record:
    """Facts of one request; routes fill them in, the log and the metrics read them."""

    request_id: str
    started_at: float = field(default_factory=time.perf_counter)
    operation: str = UNKNOWN
    model: str = UNKNOWN
    status: int = 0
    body_type: str | None = None
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by name, for Server-Timing."""

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.started_at


def record_of(scope: Scope) -> Record:
    """The record of the request of an ASGI scope."""
    record: Record = scope["vae.record"]
    return record
