"""TensorBoard files of a run: its log as curves, and pictures by its model.

    tensorboard --logdir runs

A resumed run goes on in the same curves: TensorBoard hides what was written after the step at
which the run resumes (`purge_step`).
"""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from models.images import grid
from training.data.summary import COLUMNS, enlarge
from training.report.snapshot import Snapshot
from training.runs.folder import read_log, write_error

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
_BAR_HEIGHT, _BAR_WIDTH = 100, 4


class Curves:
    """The event files of one start of a run; closed at the end of the `with` block."""

    def __init__(self, run_dir: Path) -> None:
        """Continue the curves of a run after its log."""
        self._run_dir, self._folder = run_dir, run_dir / FOLDER
        self._writer: SummaryWriter | None = None

    def add(self, line: dict[str, Any], snapshot: Snapshot) -> None:
        """Write the newest line of the log, and the pictures of its validation.

        Raises:
            RunError: The disk is full or cannot be written to.
        """
        step = line["step"]
        try:
            writer = self._open(step)
            for name, value in line.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, step)
            for name, pictures in snapshot.pictures.items():
                writer.add_image(name, grid(enlarge(pictures), COLUMNS), step)
            for name, rows in snapshot.kl_parts.items():
                mean = rows.mean(0).flatten().numpy()
                writer.add_histogram(name, mean, step)
                writer.add_image(name, bars(mean), step)
            writer.flush()
        except OSError as error:
            raise write_error(self._folder, error) from error

    def _open(self, step: int) -> "SummaryWriter":
        """The writer; what was written after the last validation before this one is hidden."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # a second to import

            before = [line["step"] for line in read_log(self._run_dir) if line["step"] < step]
            self._writer = SummaryWriter(str(self._folder), purge_step=max(before, default=0) + 1)
        return self._writer

    def __enter__(self) -> "Curves":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # `add` has flushed everything; a full disk may be why the run ends.
        with suppress(OSError):
            if self._writer is not None:
                self._writer.close()


def bars(values: Float[np.ndarray, " latent"]) -> UInt8[np.ndarray, "1 height width"]:
    """A bar chart, white on black, without axes; the largest value fills the height."""
    heights = np.round(values / max(values.max(), 1e-9) * _BAR_HEIGHT)
    filled = np.arange(_BAR_HEIGHT, 0, -1)[:, None] <= heights
    wide = np.where(filled, 255, 0).astype(np.uint8).repeat(_BAR_WIDTH, axis=1)
    wide[:, ::_BAR_WIDTH] = 0
    return wide[None]
