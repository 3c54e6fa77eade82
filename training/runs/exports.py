"""The bundles that a run was exported as, noted in its folder.

runs/<name>/exports.jsonl   one line per export: the bundle, when, and the weights that it holds
"""

from datetime import UTC, datetime
from pathlib import Path

from training.runs.folder import append_line, read_lines

EXPORTS = "exports.jsonl"


def record_export(run_dir: Path, bundle: Path, *, weights_sha256: str) -> None:
    """Note an export.

    Args:
        run_dir: The run's folder.
        bundle: The bundle's folder, `<repository>/<model>/<version>`.
        weights_sha256: Digest of the run's weights when they were read.

    Raises:
        RunError: The disk is full or the folder cannot be written to.
    """
    line = {
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": str(bundle.resolve()),
        "weights_sha256": weights_sha256,
    }
    append_line(run_dir / EXPORTS, line)


def read_exports(run_dir: Path, *, weights_sha256: str) -> list[Path]:
    """Folders of the bundles that hold these weights, the newest last; some may be gone."""
    lines = read_lines(run_dir / EXPORTS)
    return [Path(line["bundle"]) for line in lines if line["weights_sha256"] == weights_sha256]
