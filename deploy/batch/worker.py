"""A worker of a batch: the app in its process, one model loaded once, a block at a time.

Noise of an item follows from the seed and the item's index among all, so its row is the same
whatever block, request or worker it is in, and the same as the service's for that `first_item`.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.client import Client
from app.cli.connection import open_client
from app.cli.sending import divide
from app.operations.latents import are_latents, explain_latents
from app.operations.table import OPERATIONS, Operation
from deploy.batch.items import Items, find_items
from deploy.batch.job import Job
from models.images.axes import as_batch
from models.images.spec import ImageSpec
from vae_client.answers import join
from vae_client.errors import Refused, UnreadableItems
from vae_client.sources import ReadArrays, Source, needed_pixel_max


@dataclass(frozen=True)
class Setup:
    """What a worker needs beside the job, which changes no row."""

    repository: Path | None
    request_items: int
    """Most items of one pass through the app."""
    threads: int
    """Threads of one torch operator."""


@dataclass
class Rows:
    """Results of a block."""

    start: int
    names: list[str]
    answers: dict[str, np.ndarray] = field(default_factory=dict)
    """Fields of the items that have an answer, in their order."""
    answered: list[int] = field(default_factory=list)
    """Positions of these in the block."""
    warnings: dict[int, list[str]] = field(default_factory=dict)
    """Codes by position."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why an item has no answer, by position."""


class Worker:
    """The app with one model, in this process."""

    def __init__(self, model: str | None, version: int | None, setup: Setup) -> None:
        """Load the model.

        Raises:
            CallError: There is no such model, or it cannot be loaded.
        """
        os.environ["VAE_COMPUTE_THREADS"] = str(setup.threads)
        self._setup = setup
        self._loop = asyncio.new_event_loop()
        self._opened = AsyncExitStack()
        self.client: Client = self._run(
            self._opened.enter_async_context(
                open_client(None, None, model, version, setup.repository)
            )
        )
        self.description: dict[str, Any] = self._run(self.client.describe())

    def _run(self, doing: Any) -> Any:
        return self._loop.run_until_complete(doing)

    def close(self) -> None:
        """Release the model."""
        self._run(self._opened.aclose())
        self._loop.close()

    def items(self, text: str | None, operation: Operation, *, n: int) -> Items:
        """The items of an input, read as the model reads arrays."""
        spec = ImageSpec(**self.description["image"])
        shape = tuple(self.description["latent_shape"])
        read = ReadArrays(
            partial(as_batch, spec=spec),
            partial(_latents, shape=shape),
            partial(_are_latents, shape=shape),
        )
        return find_items(text, operation, read, n=n)

    def compute(self, job: Job, items: Items, block: int) -> Rows:
        """The rows of a block.

        Raises:
            CallError: The app refuses the request as a whole, such as a parameter.
        """
        start, stop = job.rows(block)
        source = items.read(start, stop)
        names = [str(i) for i in range(start, stop)] if source is None else list(source.labels)
        rows = Rows(start, names)
        self._run(self._compute(job, source, rows))
        rows.answers = rows.answers or self.try_one(job)
        return rows

    def try_one(self, job: Job) -> dict[str, np.ndarray]:
        """The answer for one black picture, without its row: which fields there are.

        Raises:
            CallError: The app refuses the parameters, or the model cannot do the operation.
        """
        operation = OPERATIONS[job.operation]
        spec, parameters = ImageSpec(**self.description["image"]), dict(job.parameters)
        source = None
        if operation.takes:
            black = np.zeros((1, *spec.shape), np.uint8)
            source = Source(("black",), array=black, defaults=needed_pixel_max(black, "images"))
        else:
            parameters["n"] = "1"
        answer = self._run(self.client.call(operation.method, operation.name, parameters, source))
        answer.pop("warnings", None)
        return {
            name: value if value.ndim == 0 or name in operation.shared else value[:0]
            for name, value in answer.items()
        }

    async def _compute(self, job: Job, source: Source | None, rows: Rows) -> None:
        operation, answers = OPERATIONS[job.operation], list[dict[str, np.ndarray]]()
        runs = deque(_cut(range(len(rows.names)), self._setup.request_items))
        while runs:
            run = runs.popleft()
            query = {**job.parameters, "first_item": str(rows.start + run.start)}
            if source is None:
                query["n"] = str(len(run))
            part = None if source is None else source.take(run)
            try:
                answer = await self.client.call(operation.method, operation.name, query, part)
            except (Refused, UnreadableItems) as error:
                faults, parts = divide(len(run), error)
                rows.errors |= {run[i]: reason for i, reason in faults.items()}
                left = [one for part in parts for one in _runs([run[i] for i in part])]
                runs.extendleft(reversed(left))
                continue
            for one in json.loads(str(answer.pop("warnings", "[]"))):
                for place in run if one["item"] is None else [run[one["item"]]]:
                    rows.warnings.setdefault(place, []).append(one["code"])
            rows.answered += run
            answers.append(answer)
        if answers:
            rows.answers = join(answers, shared=operation.shared)


def _cut(run: range, most: int) -> Iterator[range]:
    for first in range(0, len(run), most):
        yield run[first : first + most]


def _runs(places: Sequence[int]) -> Iterator[range]:
    """Places as ranges of neighbours: the items of a request have following indices."""
    breaks = [i for i in range(1, len(places)) if places[i] != places[i - 1] + 1]
    for first, end in zip([0, *breaks], [*breaks, len(places)], strict=True):
        yield range(places[first], places[end - 1] + 1)


def _are_latents(array: np.ndarray, *, shape: tuple[int, ...]) -> bool:
    return are_latents(array.shape, shape)


def _latents(array: np.ndarray, *, shape: tuple[int, ...]) -> np.ndarray:
    if found := explain_latents(array.shape, shape):
        raise ValueError(found[0])
    return array
