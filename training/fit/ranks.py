"""The processes that train one run together, as torchrun starts them; one alone without it.

    torchrun --standalone --nproc-per-node 2 --no-python vae-lab train mnist

Each makes the same batches and takes its rows of them; DistributedDataParallel averages the
gradients. The first one alone reads checkpoints, validates and writes. What they decide, a stop or
a checkpoint, they decide together: the calls of these methods are the same on every process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from models.errors import ConfigError
from training.errors import RunError

_PATIENCE = timedelta(hours=12)
"""How long a process waits for the others: the first one validates meanwhile. torchrun sees by
itself which process has ended."""

_SYNC_BUFFERS: Any = "broadcast_buffers"
if "forward_sync_buffers" in signature(DistributedDataParallel).parameters:  # torch 2.13
    _SYNC_BUFFERS = "forward_sync_buffers"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """The place of this process among those that train a run."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes the run."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch.

        Raises:
            ConfigError: The processes cannot have equally many.
        """
        share, rest = divmod(batch_size, self.count)
        if rest or not share:
            fitting = max(1, round(batch_size / self.count)) * self.count
            raise ConfigError(
                f"training.batch_size = {batch_size} cannot be divided among {self.count} "
                "processes, which take equally many images of each batch. Add --set "
                f"training.batch_size={fitting}.",
                parameter="training.batch_size",
                received=batch_size,
                suggestion=f"--set training.batch_size={fitting}",
            )
        return slice(self.rank * share, (self.rank + 1) * share)

    def refuse_several(self, what: str, fix: str, *, parameter: str) -> None:
        """Refuse what one process does alone.

        Args:
            what: What is refused, as the subject of a sentence, and its verb.
            fix: What to do instead, a sentence.
            parameter: The entry or option that asks for it.

        Raises:
            ConfigError: There are several processes.
        """
        if self.count > 1:
            raise ConfigError(
                f"{what} by one process, not {self.count}. {fix}", parameter=parameter
            )

    def share(self, value: Value) -> Value:
        """The first process's value, on every process."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def largest(self, *numbers: int) -> list[int]:
        """The largest of each number over the processes."""
        if self.count == 1:
            return list(numbers)
        found = torch.tensor(numbers)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return [int(number) for number in found.tolist()]

    def mean(self, values: Tensor) -> Tensor:
        """Means over the processes; their gradient is that of this process's values.

        DistributedDataParallel averages the gradients, and with them those of such a mean.
        """
        if self.count == 1:
            return values
        reduced = values.detach().clone()
        dist.all_reduce(reduced, dist.ReduceOp.SUM)
        return values + (reduced / self.count - values.detach())

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """A context that the first process leaves before the others enter it."""
        if not self.is_first:
            self.share(None)
        yield
        if self.is_first:
            self.share(None)

    def wrap(self, objective: nn.Module, device: torch.device, *, may_leave_out: bool) -> nn.Module:
        """The objective whose gradient is the mean over the processes.

        Args:
            objective: The objective.
            device: Where it is.
            may_leave_out: Whether some parameters may have no gradient in a step.
        """
        if self.count == 1:
            return objective
        return DistributedDataParallel(
            objective,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=may_leave_out,
            **dict[str, Any]({_SYNC_BUFFERS: False}),  # they are constants
        )


ALONE = Ranks()


@contextmanager
def join(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that torchrun started, if it did.

    Args:
        device: The device asked for; with "auto" or "cuda", each process takes a GPU of its own.

    Returns:
        This process's place, and its device.

    Raises:
        ConfigError: This machine has fewer GPUs than processes.
        RunError: Another process ended.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        yield ALONE, device
        return
    device = _own_device(device)
    _begin(backend="cpu:gloo,cuda:nccl" if "cuda" in device else "gloo")
    try:
        yield Ranks(dist.get_rank(), count), device
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and type(error) is not RuntimeError:
            raise
        first, *_ = str(error).splitlines() or [type(error).__name__]
        raise RunError(
            f"Another process of this run ended, or cannot be reached: {first}. Start all of them "
            "again with --resume; torchrun --max-restarts 3 does it by itself."
        ) from error
    finally:
        dist.destroy_process_group()


def _begin(*, backend: str) -> None:
    """Find the other processes.

    Each start that torchrun counts has keys of its own: the store still has the addresses of the
    start before, of processes that are gone.
    """
    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = dist.PrefixStore(f"start-{start}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=own, rank=rank, world_size=count, timeout=_PATIENCE)


def _own_device(device: str) -> str:
    """The GPU of this process, or the device as it was given."""
    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device not in ("auto", "cuda") or (device == "auto" and gpus == 0):
        return device
    if gpus < here:
        raise ConfigError(
            f"This machine has {gpus} GPUs for {here} processes. Start as many as there are GPUs: "
            f"torchrun --nproc-per-node {max(1, gpus)}; or train on the CPU with --device cpu.",
            parameter="device",
            received=device,
            suggestion=f"--nproc-per-node {max(1, gpus)}",
        )
    index = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(index)
    return f"cuda:{index}"
