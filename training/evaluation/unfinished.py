"""What an interrupted evaluation has scored, kept in the run's folder until it is finished.

runs/<name>/evaluation.part.pt   results by estimate, batch by batch
"""

import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from models.estimators.elbo import ElboEstimate
from models.estimators.importance import EvidenceEstimate
from training.errors import RunError
from training.runs.folder import replace

PART = "evaluation.part.pt"
_WRITE_SECONDS = 10.0
"""Least time between two writes."""
_KEPT: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [ElboEstimate, EvidenceEstimate]


class Unfinished:
    """Results of an evaluation so far; another evaluation than the kept one begins anew."""

    def __init__(self, run_dir: Path, *parts: str) -> None:
        """Read what is kept of this evaluation.

        Args:
            run_dir: The run's folder.
            parts: Texts that tell evaluations apart: weights, data, settings.
        """
        self._path = run_dir / PART
        self._key = sha256("\n".join(parts).encode()).hexdigest()
        self._batches: dict[str, list[Any]] = self._read()
        self._written_at = time.monotonic()

    def _read(self) -> dict[str, list[Any]]:
        try:
            with torch.serialization.safe_globals(_KEPT):
                found = torch.load(self._path, weights_only=True)
        except Exception:  # none, cut short, or of another version: all begins anew
            return {}
        return found["batches"] if found.get("key") == self._key else {}

    def batches(self, estimate: str) -> list[Any]:
        """Results of the first batches of an estimate."""
        return list(self._batches.get(estimate, []))

    def keep(self, estimate: str, results: list[Any]) -> None:
        """Keep the results of an estimate so far; they are written now and then."""
        self._batches[estimate] = list(results)
        if time.monotonic() - self._written_at < _WRITE_SECONDS:
            return
        self._written_at = time.monotonic()
        buffer = BytesIO()
        torch.save({"key": self._key, "batches": self._batches}, buffer)
        with suppress(RunError):  # a folder that cannot be written to keeps nothing
            replace(self._path, buffer.getvalue())

    def forget(self) -> None:
        """Remove what is kept: the evaluation is finished."""
        self._path.unlink(missing_ok=True)
