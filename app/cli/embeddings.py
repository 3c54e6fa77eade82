"""Embeddings of inputs: the posterior mean of each, by `encode`.

What is known already by its bytes is not sent.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.cli.client import Client
from app.cli.inputs import Inputs, open_inputs
from app.cli.run_operation import array_reader, show_progress
from app.cli.sending import Rows, Sender, all_failed
from app.operations.table import OPERATIONS
from app.search.folder import IndexedModel, Item
from vae_client.answers import join
from vae_client.sources import Source

ENCODE = OPERATIONS["encode"]
Content = Path | bytes | np.ndarray


@dataclass
class Embeddings:
    """Items by name, and the means of those that were sent."""

    items: list[Item]
    """In the order of the inputs, without those that failed."""
    contents: list[Content]
    """What each item is: its file, its bytes, or its row of an array."""
    rows: Rows
    """What was answered, and what failed."""
    means: dict[str, np.ndarray]
    """Posterior mean, (L,), by an item's digest."""


def model_of(described: Mapping[str, Any]) -> IndexedModel:
    """The model of a description, as an index names it."""
    return IndexedModel(**{name: described[name] for name in IndexedModel.model_fields})


async def embed(
    client: Client,
    inputs: Inputs,
    parameters: Mapping[str, str],
    described: Mapping[str, Any],
    *,
    strict: bool = False,
    batch_size: int,
    known: Collection[str] = (),
) -> Embeddings:
    """Embed the inputs.

    Args:
        client: Of the service.
        inputs: Pictures and arrays.
        parameters: Of `encode`.
        described: The model, as the service describes it.
        strict: Whether to raise for the first item that cannot be read.
        batch_size: Largest number of items in one request.
        known: Digests of items that are not sent.

    Raises:
        CallError: The service refuses, or none of the inputs could be read.
        OSError: A file is no longer there.
    """
    read = array_reader(described)
    sources = open_inputs(inputs, ENCODE.name, ENCODE.takes, read, strict=strict)
    rows = Rows(failed=list(inputs.failed))
    found: dict[str, tuple[Item, Content]] = {}
    with show_progress() as progress:
        task = progress.add_task("encode", total=sum(map(len, sources)), score="")

        def show(rows: Rows) -> None:
            progress.update(task, completed=rows.count)

        sender = Sender(client, ENCODE, parameters, strict=strict, progress=show)
        taken = set(known)
        for source in sources:
            new = []
            for position, label in enumerate(source.labels):
                content = _content(source, position)
                digest = hashlib.sha256(_bytes_of(content, source.defaults)).hexdigest()
                found[label] = Item(file=label, sha256=digest), content
                if digest not in taken:
                    taken.add(digest)
                    new.append(position)
            await sender.send(source.take(new), rows, batch_size=batch_size)
    return _joined(found, rows, known)


def _joined(
    found: Mapping[str, tuple[Item, Content]], rows: Rows, known: Collection[str]
) -> Embeddings:
    means: dict[str, np.ndarray] = {}
    if rows.answers:
        answered = join(rows.answers, shared=ENCODE.shared)["mean"]
        for label, mean in zip(rows.labels, answered, strict=True):
            means[found[label][0].sha256] = mean.reshape(-1)
    embedded = means.keys() | set(known)
    there = [pair for pair in found.values() if pair[0].sha256 in embedded]
    if not there:
        raise all_failed(rows.failed)
    items, contents = zip(*there, strict=True)
    return Embeddings(list(items), list(contents), rows, means)


def _content(source: Source, position: int) -> Content:
    return source.pictures[position] if source.array is None else source.array[position]


def _bytes_of(content: Content, defaults: Mapping[str, str]) -> bytes:
    """What tells an item from others: of a row, also how the whole array is read."""
    if isinstance(content, np.ndarray):
        head = f"{content.dtype} {content.shape} {dict(defaults)}".encode()
        return head + np.ascontiguousarray(content).tobytes()
    return content if isinstance(content, bytes) else content.read_bytes()
