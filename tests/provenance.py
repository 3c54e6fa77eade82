"""A provenance for bundles and models that no run has trained."""

from typing import Any

from models.bundle.schema import Provenance


def make_provenance(**changes: Any) -> Provenance:
    """A valid provenance with some fields changed."""
    fields = {
        "recipe": "seed = 1\n",
        "seed": 1,
        "code_version": "0.1.0",
        "dataset": "squares",
        "dataset_sha256": "ab" * 32,
        "created_at": "2026-01-02T03:04:05Z",
        "training_seconds": 1.5,
        "epochs": 2.0,
        "hardware": "none",
        "torch_version": "2.13.0",
    }
    return Provenance.model_validate(fields | changes)
