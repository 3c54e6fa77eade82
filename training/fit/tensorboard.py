"""TensorBoard files of a run: its log as curves, and pictures by its model.

    tensorboard --logdir runs

A resumed run goes on in the same curves: TensorBoard hides what was written after the step at
which the run resumes (`purge_step`).
"""

from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from models.estimators.elbo import ElboEstimate, estimate_elbo
from models.images import grid, to_uint8, to_unit
from models.images.spec import ImageSpec
from models.vae.model import VAE
from training.data.summary import COLUMNS, enlarge
from training.evaluation.pictures import draw_samples, reconstruct_some
from training.runs.folder import write_error

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
_NUM_SAMPLES = 64
_NUM_FOR_KL = 500
_BAR_HEIGHT, _BAR_WIDTH = 100, 4


class Curves:
    """The event files of one start of a run; closed at the end of the `with` block."""

    def __init__(
        self,
        run_dir: Path,
        *,
        step: int,
        held_out: Float[Tensor, "batch channel height width"],
        spec: ImageSpec,
    ) -> None:
        """Continue the curves after a step.

        Args:
            run_dir: The run's folder.
            step: Steps that the run has done.
            held_out: Observations; the first of them are reconstructed.
            spec: What the observations are.
        """
        self._folder, self._step = run_dir / FOLDER, step
        self._held_out, self._spec = held_out, spec
        self._writer: SummaryWriter | None = None

    def add(self, line: dict[str, Any], average: VAE) -> None:
        """Write a line of the log, and pictures by the averaged weights.

        Raises:
            RunError: The disk is full or cannot be written to.
        """
        step, vae = line["step"], deepcopy(average).cpu().float()
        held_out = self._held_out[:_NUM_FOR_KL]
        kl = estimate_elbo(vae, held_out, num_samples=1, seed=0) if vae.has_density else None
        try:
            writer = self._open()
            for name, value in line.items():
                if name != "step" and value is not None:
                    writer.add_scalar(name, value, step)
            for name, picture in self._pictures(vae).items():
                writer.add_image(name, picture, step)
            for name, rows in _kl_parts(kl).items():
                mean = rows.mean(0).flatten().numpy()
                writer.add_histogram(name, mean, step)
                writer.add_image(name, bars(mean), step)
            writer.flush()
        except OSError as error:
            raise write_error(self._folder, error) from error

    def _open(self) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # a second to import

            self._writer = SummaryWriter(str(self._folder), purge_step=self._step + 1)
        return self._writer

    def _pictures(self, vae: VAE) -> dict[str, UInt8[np.ndarray, "channel height width"]]:
        observations = {"reconstructions": reconstruct_some(vae, self._held_out)}
        if vae.has_density:
            observations["samples"] = draw_samples(vae, _NUM_SAMPLES)
        return {
            name: grid(enlarge(to_uint8(to_unit(x, self._spec))), COLUMNS)
            for name, x in observations.items()
            if x.isfinite().all()  # a run that diverges has no pictures
        }

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


def _kl_parts(kl: ElboEstimate | None) -> dict[str, Tensor]:
    """What the KL is the sum of, by name: dimensions if q and p factorise, groups of a ladder."""
    if kl is None:
        return {}
    parts = {
        "kl_per_dimension_nats": kl.kl_per_dimension_nats,
        "kl_per_group_nats": kl.kl_per_group_nats,
    }
    return {
        name: rows for name, rows in parts.items() if rows is not None and rows.isfinite().all()
    }


def bars(values: Float[np.ndarray, " latent"]) -> UInt8[np.ndarray, "1 height width"]:
    """A bar chart, white on black, without axes; the largest value fills the height."""
    heights = np.round(values / max(values.max(), 1e-9) * _BAR_HEIGHT)
    filled = np.arange(_BAR_HEIGHT, 0, -1)[:, None] <= heights
    wide = np.where(filled, 255, 0).astype(np.uint8).repeat(_BAR_WIDTH, axis=1)
    wide[:, ::_BAR_WIDTH] = 0
    return wide[None]
