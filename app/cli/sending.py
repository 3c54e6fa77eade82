"""Requests of a command: inputs in parts, and the rows of all answers together.

An item that the service refuses is named and left out, and the rest of its request is sent again.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.cli.client import Client
from app.operations.table import Operation
from models.warnings import Warned
from vae_client.errors import CallError, Refused, UnreadableItems
from vae_client.sources import Source

TOO_LARGE = 413


@dataclass
class Rows:
    """Labels of the items that were answered, their answers and warnings, and the other items."""

    labels: list[str] = field(default_factory=list)
    answers: list[dict[str, np.ndarray]] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    """Of the items by their indices in `labels`."""
    failed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, labels: Iterable[str], answer: dict[str, np.ndarray]) -> None:
        """Add the answer of one request."""
        for one in json.loads(str(answer.pop("warnings", "[]"))):
            warned = Warned(**one)
            item = None if warned.item is None else len(self.labels) + warned.item
            self.warnings.append(replace(warned, item=item))
        self.labels += labels
        self.answers.append(answer)

    @property
    def count(self) -> int:
        """Number of items that are done, with or without an answer."""
        return len(self.labels) + len(self.failed)


@dataclass(frozen=True)
class Sender:
    """Sends an operation's requests.

    Attributes:
        client: Of the service.
        operation: The operation.
        parameters: The same for all requests.
        strict: Whether to raise for the first item that is refused.
        progress: Called after each request.
        tell: Called with each running estimate, of whose picture it has the name; None asks for
            none.
    """

    client: Client
    operation: Operation
    parameters: Mapping[str, str]
    strict: bool = False
    progress: Callable[[Rows], None] = lambda rows: None
    tell: Callable[[Mapping[str, Any]], None] | None = None

    async def send(self, source: Source, rows: Rows, *, batch_size: int) -> None:
        """Send the items of a source in requests of at most `batch_size`, and add their rows."""
        pieces = deque(source.cut(batch_size))
        while pieces:
            piece = pieces.popleft()
            query = {**self.parameters, "first_item": str(len(rows.labels))}
            try:
                rows.add(piece.labels, await self._call(query, piece))
            except (Refused, UnreadableItems) as error:
                if self.strict:
                    raise
                if _refuses_array(piece, error):
                    rows.failed.append((piece.labels[0].rpartition("[")[0], str(error)))
                    return
                faults, parts = divide(len(piece), error)
                rows.failed += [(piece.labels[i], reason) for i, reason in faults.items()]
                pieces.extendleft(piece.take(part) for part in reversed(parts))
            self.progress(rows)

    async def send_whole(self, source: Source, rows: Rows) -> None:
        """Send a source as one request; what it refuses is raised."""
        rows.add(source.labels, await self._call(self.parameters, source))
        self.progress(rows)

    async def draw(self, n: int, rows: Rows, *, batch_size: int) -> None:
        """Ask for `n` items that need no input, such as samples."""
        while (start := len(rows.labels)) < n:
            count = min(batch_size, n - start)
            query = {**self.parameters, "first_item": str(start), "n": str(count)}
            rows.add(numbers(start, start + count), await self._call(query, None))
            self.progress(rows)

    async def _call(self, query: Mapping[str, str], source: Source | None) -> dict[str, np.ndarray]:
        operation, tell = self.operation, self.tell
        if tell is None or source is None:
            return await self.client.call(operation.method, operation.name, query, source)
        labels = source.labels

        def tell_named(line: Mapping[str, Any]) -> None:
            tell({"file": labels[line["item"]], **line})

        return await self.client.stream(operation.name, query, source, tell_named)


def _refuses_array(piece: Source, error: Refused | UnreadableItems) -> bool:
    """Whether the fault is of an array as a whole, such as its shape."""
    if piece.array is None or error.items or not isinstance(error, Refused):
        return False
    return error.about_the_file and error.status != TOO_LARGE


def divide(
    count: int, error: Refused | UnreadableItems
) -> tuple[Mapping[int, str], list[Sequence[int]]]:
    """Divide a refused request of so many items.

    Returns:
        The reason of each item at fault, by its position; and the positions of the other items, as
        requests to send.

    Raises:
        CallError: No item is at fault.
    """
    if error.items or not isinstance(error, Refused):
        rest = [i for i in range(count) if i not in error.items]
        return error.items, [rest] if rest else []
    if count > 1 and (error.about_the_file or error.status == TOO_LARGE):
        middle = count // 2
        return {}, [range(middle), range(middle, count)]
    if not error.about_the_file:
        raise error
    return {0: error.detail}, []


def numbers(start: int, stop: int) -> list[str]:
    """Labels of items that have no file."""
    return [f"{i:05d}" for i in range(start, stop)]


def mean_score(answers: list[dict[str, np.ndarray]]) -> str:
    """The running mean of the scores, in nats, for the progress bar."""
    for name in ("estimate_nats", "elbo_nats"):
        if answers and name in answers[0]:
            mean = np.nanmean(np.concatenate([answer[name] for answer in answers]))
            return f"mean {name} {mean:.2f}"
    return ""


def in_words(name: str, reason: str) -> str:
    """The fault of an input, beginning with its name."""
    return reason if reason.startswith(name) else f"{name}: {reason}"


def all_failed(failed: Sequence[tuple[str, str]]) -> CallError:
    """The error of a command of whose inputs none could be read."""
    words = [in_words(*one) for one in failed]
    if len(words) == 1:
        return CallError(words[0])
    listed = "\n".join(f"  {line}" for line in words)
    return CallError(f"None of the {len(words):,} inputs could be read:\n{listed}")
