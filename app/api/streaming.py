"""A streamed answer: the running estimate of each image, and the ordinary answer as the last line.

The answer begins with its first line: what fails before is an ordinary problem with its status.
What fails after it is a last line in the form of a problem.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from starlette.types import Scope

from app.api.computing import computed_by, end_compute
from app.api.logs import log_crash
from app.api.problems import describe_in, lookup
from app.api.service import Call
from app.errors import ClientDisconnected
from app.operations.result import Answer
from app.serving.job import Job
from app.wire.rendering import to_json

MAX_WAITING_LINES = 4096
"""Lines that wait for a client that reads slowly; beyond them the oldest are left out."""

Kind = Literal["progress", "answer", "problem"]


class Stream:
    """The parts of a streamed answer. All methods but `report` are called on the event loop."""

    _job: Job[Answer]

    def __init__(self, call: Call, scope: Scope, form: str) -> None:
        """Prepare for the reports of a job.

        Args:
            call: The request.
            scope: Its ASGI scope, for problems.
            form: "ndjson" or "event-stream".
        """
        self._call, self._scope, self._form = call, scope, form
        self._lines: deque[bytes] = deque(maxlen=MAX_WAITING_LINES)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False
        self._finish: Callable[[Answer], Awaitable[bytes]] | None = None

    def report(self, items: Sequence[int], columns: Mapping[str, Any]) -> None:
        """Take running estimates, on whatever thread.

        Args:
            items: Indices of the images in the request.
            columns: Values of each image, by the names of the fields.
        """
        for item, row in zip(items, zip(*columns.values(), strict=True), strict=True):
            line = to_json({"item": item, **dict(zip(columns, row, strict=True))})
            self._lines.append(_written(self._form, "progress", line))
        self._loop.call_soon_threadsafe(self._wake)

    async def begin(self, job: Job[Answer], finish: Callable[[Answer], Awaitable[bytes]]) -> None:
        """Wait for the first line, or for the end of a job that reports none.

        Args:
            job: The job whose reports come.
            finish: Renders what it computes as JSON.

        Raises:
            VAEError: The job failed before its first report.
        """
        self._job, self._finish = job, finish
        job.future.add_done_callback(self._wake)
        try:
            await self._wait()
            if not self._lines:
                await computed_by(self._call, job)
        except BaseException:
            self.close()
            raise

    async def next_part(self) -> bytes:
        """The lines that have come; the last one once the job has ended; then nothing."""
        await self._wait()
        if self._lines:
            lines = b"".join(self._lines)
            self._lines.clear()
            return lines
        finish, self._finish = self._finish, None
        if finish is None:
            return b""
        try:
            computed = await computed_by(self._call, self._job)
            self.close()
            return _written(self._form, "answer", await finish(computed))
        except Exception as error:
            return self._problem(error)

    def close(self) -> None:
        """Forget a job that has ended, or drop what is left of it."""
        if not self._is_closed:
            self._is_closed = True
            end_compute(self._call, self._job)

    def _problem(self, error: Exception) -> bytes:
        """The last line of an answer that failed; its status is for the log and the metrics."""
        record = self._call.record
        if lookup(type(error))[0] == 500:
            log_crash(error, record)
        response = describe_in(self._scope, error)
        record.status = response.status_code
        if isinstance(error, ClientDisconnected):
            return b""
        return _written(self._form, "problem", bytes(response.body))

    async def _wait(self) -> None:
        while not self._lines and not self._job.future.done():
            self._waiter = self._loop.create_future()
            await self._waiter

    def _wake(self, _: object = None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _written(form: str, kind: Kind, content: bytes) -> bytes:
    """One line of JSON as NDJSON has it, or as a server-sent event."""
    if form == "ndjson":
        return content + b"\n"
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), content)
