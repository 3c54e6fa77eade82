"""Engines of a batch: processes of this machine, or the actors of Ray Data.

Each worker loads the model once, takes a block at a time, and writes the block's file. An engine
gives back the blocks as they are done; a block that is lost is computed by the next call.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

from app.operations.table import OPERATIONS
from deploy.batch.items import Items
from deploy.batch.job import Job
from deploy.batch.output import write_block
from deploy.batch.places import Place, find_place
from deploy.batch.worker import Setup, Worker
from vae_client.errors import CallError


@dataclass(frozen=True)
class Work:
    """What a worker is told, once."""

    job: Job
    setup: Setup
    items: Items
    out: str


@dataclass(frozen=True)
class Done:
    """A block whose file is written."""

    block: int
    skipped: int
    """Items without an answer."""


class BlockWriter:
    """A worker with its output."""

    def __init__(self, work: Work, worker: Worker | None = None) -> None:
        """Load the model, unless a worker has it."""
        self._work, job = work, work.job
        self._worker = worker or Worker(job.model, job.version, work.setup)
        self._operation = OPERATIONS[job.operation]
        self._out: Place = find_place(work.out)

    def write(self, block: int) -> Done:
        """Compute a block, and write its file."""
        rows = self._worker.compute(self._work.job, self._work.items, block)
        return Done(block, write_block(self._out, block, rows, self._operation))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The same for Ray Data: a batch of one block's number."""
        done = [self.write(int(block)) for block in batch["id"]]
        return {"block": [one.block for one in done], "skipped": [one.skipped for one in done]}


def run_here(work: Work, blocks: Sequence[int], worker: Worker) -> Iterator[Done]:
    """Compute blocks in this process."""
    writer = BlockWriter(work, worker)
    yield from map(writer.write, blocks)


def run_processes(work: Work, blocks: Sequence[int], workers: int) -> Iterator[Done]:
    """Compute blocks in processes of this machine.

    Raises:
        CallError: A process was killed, as where memory is short.
    """
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(work,)
    )
    waiting = iter(blocks)
    with pool:
        running = {pool.submit(_write, block) for block in islice(waiting, 2 * workers)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(_write, block) for block in islice(waiting, len(done))}
                yield from (one.result() for one in done)
        except BrokenProcessPool as error:
            raise CallError(
                "A worker was killed, maybe because memory was short. The same command goes on; "
                "give fewer: --workers 1"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_writer: BlockWriter


def _begin(work: Work) -> None:
    """Begin a process: load the model, and end when the command does, killed or not."""
    global _writer
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _writer = BlockWriter(work)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _write(block: int) -> Done:
    return _writer.write(block)


def run_ray(work: Work, blocks: Sequence[int], workers: int) -> Iterator[Done]:
    """Compute blocks by an actor pool of Ray Data, on the cluster that `RAY_ADDRESS` names or here.

    Raises:
        CallError: Ray is not installed.
    """
    try:
        data = import_module("ray.data")
    except ImportError as error:
        raise CallError(
            "--engine ray needs Ray, which is not installed. Run pip install 'ray[data]', or leave "
            "--engine out."
        ) from error
    numbers = data.from_items([{"id": block} for block in blocks], override_num_blocks=len(blocks))
    done = numbers.map_batches(
        BlockWriter,
        fn_constructor_args=(work,),
        batch_size=1,
        concurrency=workers,
        num_cpus=work.setup.threads,
    )
    for row in done.iter_rows():
        yield Done(int(row["block"]), int(row["skipped"]))
