"""What an interrupted evaluation has scored, kept in the run's folder until it is finished.

runs/<name>/evaluation.part.pt   results by estimate, batch by batch
"""

import time
from contextlib import suppress
from dataclasses import fields, is_dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from models.estimators.annealing import AnnealedEstimate, Sandwich
from models.estimators.elbo import ElboEstimate
from models.estimators.importance import EvidenceEstimate
from training.errors import RunError
from training.runs.folder import replace

PART = "evaluation.part.pt"
_WRITE_SECONDS = 10.0
"""Least time between two writes."""
_KEPT: tuple[type[Any], ...] = (ElboEstimate, EvidenceEstimate, AnnealedEstimate, Sandwich)
_ESTIMATES = {one.__name__: one for one in _KEPT}


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
            found = torch.load(self._path, weights_only=True)
            return _decode(found["batches"]) if found["key"] == self._key else {}
        except Exception:  # none, cut short, or of another version: all begins anew
            return {}

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
        torch.save({"key": self._key, "batches": _encode(self._batches)}, buffer)
        with suppress(RunError):  # a folder that cannot be written to keeps nothing
            replace(self._path, buffer.getvalue())

    def forget(self) -> None:
        """Remove what is kept: the evaluation is finished."""
        self._path.unlink(missing_ok=True)


def _encode(value: Any) -> Any:
    """Estimates as plain dictionaries, which torch loads without running code."""
    if isinstance(value, dict):
        return {name: _encode(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_encode(part) for part in value]
    if is_dataclass(value):
        return {
            "estimate": type(value).__name__,
            **{field.name: getattr(value, field.name) for field in fields(value)},
        }
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        own = dict(value)
        if (name := own.pop("estimate", None)) is not None:
            return _ESTIMATES[name](**own)
        return {name: _decode(part) for name, part in own.items()}
    return [_decode(part) for part in value] if isinstance(value, list) else value
