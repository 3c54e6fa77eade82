"""What is sent and how answers are read, without a connection: both clients run these steps.

A step is a request, whose response is sent back into the generator (or its failure thrown), or a
pause. Every operation is a pure function of its request, for a seed is always in it: sending one
again is safe, and a long list sent in parts gets the bytes of the whole.
"""

import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import numpy as np

from vae_client.answers import join, no_answer, num_items, read_answer
from vae_client.errors import CallError, Refused, Unreachable, UnreadableItems
from vae_client.held_out import Examples, LatentMap, make_examples, make_map
from vae_client.operations import SAMPLE, Operation, model_path
from vae_client.progress import Show, progress_of
from vae_client.refusals import refusal
from vae_client.results import (
    A,
    AnswerWarning,
    Model,
    ModelVersion,
    Samples,
    make_answer,
    make_model,
    make_versions,
    make_warnings,
)
from vae_client.sources import MAX_REQUEST_BYTES, Source, needed_pixel_max

T = TypeVar("T")

BUSY = (429, 503)
TOO_LARGE = 413
PAUSE_SECONDS = 0.5
"""Before the second try, where the service does not say; each further pause is twice as long."""
MAX_CHANNELS = 4


@dataclass(frozen=True)
class Request:
    """One request; `options` are arguments of httpx's `request`."""

    method: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    lines: bool = False
    """Whether the answer is read line by line."""


@dataclass(frozen=True)
class Pause:
    """Seconds to wait before the next step."""

    seconds: float


Steps = Generator[Request | Pause, httpx.Response | None, T]


@dataclass
class Part:
    """Items of one request, and how they are sent."""

    count: int | None
    """None where only the service can tell."""
    query: Mapping[str, str]
    body: Mapping[str, Any]
    labels: Sequence[str] = ()
    name: str = ""
    """Before the numbers of items without labels."""


@dataclass
class Call:
    """One call of an operation: its parameters, and the answers so far."""

    operation: Operation[Any]
    query: Mapping[str, str]
    path: str
    size: int
    """Most items of one request."""
    show: Show
    first_item: int = 0
    done: int = 0
    answers: list[dict[str, np.ndarray]] = field(default_factory=list)
    warnings: list[AnswerWarning] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def add(self, part: Part, arrays: dict[str, np.ndarray]) -> None:
        """Add an answer; what follows is asked of the version that gave it."""
        count = num_items(arrays, shared=self.operation.answer.shared)
        self.warnings += make_warnings(str(arrays.pop("warnings", "[]")), start=self.done)
        self.answers.append(arrays)
        first = 0 if part.name else self.done
        numbered = [f"{part.name}[{first + i}]" for i in range(count)]
        self.names += part.labels if len(part.labels) == count else numbered
        self.path = model_path(str(arrays["model"]), int(arrays["version"]))
        self.done += count
        self.show(self.done)


@dataclass(frozen=True)
class Exchange:
    """How a client asks: of which model, in parts of which size, and how often again."""

    url: str
    model: str | None = None
    version: int | None = None
    batch_size: int = 256
    tries: int = 5
    retry_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        for name in ("batch_size", "tries"):
            if getattr(self, name) < 1:
                raise CallError(f"{name}={getattr(self, name)} is less than 1. Give at least 1.")

    def run(
        self,
        operation: Operation[A],
        sources: Sequence[Source],
        parameters: Mapping[str, Any],
        *,
        progress: bool,
    ) -> Steps[A]:
        """Send the items of an operation, in as many requests as they need."""
        if not operation.splits and len(sources) > 1:
            raise CallError(
                f"{operation.name} takes two pictures, or one array of two. Give a list of two "
                "files, PIL pictures or arrays."
            )
        counts = [_count(source) for source in sources]
        total = None if None in counts else sum(filter(None, counts))
        with progress_of(operation.name, total, asked=progress) as show:
            call = self.begin(operation, parameters, show)
            for source in sources:
                if source.array is not None:
                    yield from self._send_array(call, source)
                elif operation.splits:
                    yield from self._send_parts(call, len(source), _cuts(source))
                else:
                    yield from self._send(call, _whole(source))
        return finish(operation, call)

    def draw(self, n: int, parameters: Mapping[str, Any], *, progress: bool) -> Steps[Samples]:
        """Ask for samples, in as many requests as they need."""

        def cut(start: int, most: int) -> Part:
            count = min(most, n - start)
            return Part(count, {"n": str(count)}, {})

        with progress_of(SAMPLE.name, n, asked=progress) as show:
            call = self.begin(SAMPLE, parameters, show)
            if n < 1:
                yield from self._send(call, Part(n, {"n": str(n)}, {}))
            yield from self._send_parts(call, n, cut)
        return finish(SAMPLE, call)

    def models(self) -> Steps[list[ModelVersion]]:
        """Every version of every model."""
        response = yield from self.ask(Request("GET", "/v1/models"))
        return _read(response, make_versions)

    def describe(self, name: str | None, version: int | None) -> Steps[Model]:
        """One model; without a name, the client's own or the default one."""
        path = yield from self._path_of(name, version)
        response = yield from self.ask(Request("GET", path))
        return _read(response, make_model)

    def examples(self, name: str | None, version: int | None) -> Steps[Examples]:
        """Held-out pictures of a model; without a name, as `describe`."""
        path = yield from self._path_of(name, version)
        response = yield from self.ask(Request("GET", f"{path}/examples"))
        return _read(response, make_examples)

    def latent_map(self, name: str | None, version: int | None) -> Steps[LatentMap]:
        """The plane of a model's held-out pictures; without a name, as `describe`."""
        path = yield from self._path_of(name, version)
        response = yield from self.ask(Request("GET", f"{path}/map"))
        return _read(response, make_map)

    def _path_of(self, name: str | None, version: int | None) -> Steps[str]:
        if name is None:
            name, version = self.model, self.version if version is None else version
        if name is None:
            listed = yield from self.models()
            name = next((one.name for one in listed if one.default), None)
        if name is None:
            ready = sorted({one.name for one in listed if one.status == "ready"})
            raise CallError(
                f"There is no default model. Name one: VAEClient(url, model={ready[0]!r}); "
                f"available: {', '.join(ready)}."
                if ready
                else "No model is served yet. Ask models() for the state of each."
            )
        return model_path(name, version)

    def ready(self) -> Steps[bool]:
        """Whether the service answers that it is ready; it is asked once."""
        try:
            response = yield Request("GET", "/readyz")
        except httpx.TransportError:
            return False
        return response is not None and response.status_code == 200

    def begin(self, operation: Operation[Any], parameters: Mapping[str, Any], show: Show) -> Call:
        query = {name: _text(value) for name, value in parameters.items() if value is not None}
        first_item = query.pop("first_item", "0") if operation.splits else "0"
        if operation.splits:
            query.setdefault("seed", str(secrets.randbits(53)))
        first = int(first_item) if first_item.isascii() and first_item.isdigit() else 0
        if first_item != str(first):  # the service says what is wrong with it
            query["first_item"] = first_item
        path = model_path(self.model, self.version)
        return Call(operation, query, path, self.batch_size, show, first_item=first)

    def _send_array(self, call: Call, source: Source) -> Steps[None]:
        """Send an array whole, or its rows in parts where it is too large and its axes are sure."""
        assert source.array is not None
        rows = None
        if call.operation.splits and _is_large(source.array, call.size):
            rows = yield from self._rows(call, source)
        if rows is None:
            try:
                yield from self._send(call, _whole(source))
                return
            except Refused as error:
                if error.status != TOO_LARGE or error.items or not call.operation.splits:
                    raise
                rows = yield from self._rows(call, source)
                if rows is None:
                    raise
        yield from self._send_parts(call, len(rows), _cuts(rows))

    def _rows(self, call: Call, source: Source) -> Steps[Source | None]:
        """The rows of an array as items, where its axes are sure."""
        array = source.array
        assert array is not None
        if source.kind == "images":
            model = yield from self.describe(None, None)
            array = as_rows(array, model.image_shape)
            if array is None:
                return None
        labels = tuple(f"{source.name}[{i}]" for i in range(len(array)))
        defaults = needed_pixel_max(array, source.kind)
        return replace(source, array=array, labels=labels, defaults=defaults)

    def _send_parts(self, call: Call, total: int, cut: Callable[[int, int], Part]) -> Steps[None]:
        """Send `total` items in parts, in smaller ones where the service refuses their size."""
        start = 0
        while start < total:
            try:
                part = cut(start, call.size)
                yield from self._send(call, part)
            except UnreadableItems as error:
                raise shifted(error, call.done) from error.__cause__
            except Refused as error:
                call.size = _smaller(error, part.count or 1, call.query)
            else:
                start += part.count or 0

    def _send(self, call: Call, part: Part) -> Steps[None]:
        """Send one request, and add its answer."""
        query = {**part.query, **call.query, "format": "npz"}
        if call.operation.splits and "first_item" not in query:
            query["first_item"] = str(call.first_item + call.done)
        options = {**part.body, "params": query}
        path = f"{call.path}/{call.operation.name}"
        try:
            response = yield from self.ask(
                Request(call.operation.method, path, options), part.labels, begun=bool(call.done)
            )
        except Refused as error:
            raise shifted(error, call.done) from error.__cause__
        call.add(part, read_answer(response))

    def ask(
        self, request: Request, labels: Sequence[str] = (), *, begun: bool = False
    ) -> Steps[httpx.Response]:
        """The response of a request, which is sent again where the service is busy.

        Args:
            request: What to send.
            labels: Names of its items, for messages.
            begun: Whether the service has answered before: then it is waited for where nothing
                listens, as while it restarts.
        """
        end = self.clock() + self.retry_seconds
        pause = PAUSE_SECONDS
        for left in range(self.tries - 1, -1, -1):
            try:
                response = yield request
            except httpx.HTTPError as error:
                broken = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
                again = broken and (begun or not isinstance(error, httpx.ConnectError))
                failure: CallError = unreachable(self.url, error)
                failure.__cause__ = error
                seconds = pause
            else:
                assert response is not None
                if response.status_code == 200:
                    return response
                failure = refusal(response, labels)
                again = response.status_code in BUSY
                asked = retry_after(response.headers.get("Retry-After", ""))
                seconds = pause if asked is None else asked
            if not again or not left or self.clock() + seconds > end:
                break
            yield Pause(seconds)
            pause *= 2
        raise failure


def as_rows(array: np.ndarray, image_shape: Sequence[int]) -> np.ndarray | None:
    """An array of pictures as (N, C, H, W) or (N, H, W, C), where its first axis is surely N.

    Args:
        array: Pictures; the service tells the axes of a whole array, by more shapes.
        image_shape: The model's (C, H, W).
    """
    channels, *size = image_shape
    rest, own = list(array.shape[1:]), ([*image_shape], [*size, channels])
    if array.ndim == 3 and rest == size and len(array) > MAX_CHANNELS:
        return array[:, None]
    if array.ndim != 4:
        return None
    is_other_size = not all(side in array.shape for side in size)
    is_picture = array.shape[-1] in (1, 3) or array.shape[1] in (1, 3)
    return array if rest in own or (is_other_size and is_picture) else None


def retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header, which has them or a date; None where it has neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def finish(operation: Operation[A], call: Call) -> A:
    shared = operation.answer.shared
    return make_answer(
        operation.answer, join(call.answers, shared=shared), call.warnings, call.names
    )


def _count(source: Source) -> int | None:
    return len(source) if source.array is None else None


def _cuts(source: Source) -> Callable[[int, int], Part]:
    """A function from the place of an item, and the most items, to the part that begins there."""

    def cut(start: int, most: int) -> Part:
        count = source.fitting(start, most)
        piece = source.take(range(start, start + count))
        return Part(count, piece.defaults, piece.request(), piece.labels)

    return cut


def _whole(source: Source) -> Part:
    return Part(_count(source), {}, source.request(), source.labels, source.name)


def _is_large(array: np.ndarray, most: int) -> bool:
    return len(array) > most or array.nbytes > MAX_REQUEST_BYTES


def _smaller(error: Refused, count: int, query: Mapping[str, str]) -> int:
    """Number of items to send instead of a part that is too large.

    Raises:
        Refused: The fault is another, or one item is too large.
    """
    if error.status != TOO_LARGE or error.items or count == 1:
        raise error
    if error.parameter == "num_samples" and str(error.received) == query.get("num_samples"):
        raise error  # the samples of each item, not their sum
    numbers = isinstance(error.received, int | float) and isinstance(error.limit, int | float)
    share = error.limit / error.received if numbers and error.received else 0.5
    return max(1, min(int(count * share), count - 1))


Fault = TypeVar("Fault", Refused, UnreadableItems)


def shifted(error: Fault, start: int) -> Fault:
    """An error whose items are counted among all that were sent."""
    error.items = {start + i: reason for i, reason in error.items.items()}
    return error


def unreachable(url: str, error: httpx.HTTPError) -> Unreachable:
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return Unreachable(
            f"{url} did not answer in time (timeout_seconds). Send fewer items per request "
            "(batch_size), or allow more time."
        )
    reason = (str(error) or type(error).__name__).rstrip(".")
    return Unreachable(f"Cannot reach {url}: {reason}. Start a service with vae serve.")


def _read(response: httpx.Response, make: Callable[[Any], T]) -> T:
    try:
        return make(response.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_answer(response) from error


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
