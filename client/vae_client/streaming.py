"""Streamed log-likelihoods: running estimates as they come, and the answer at the end.

Steps as those of `exchange`, with two more kinds: the next line of a response, and what the caller
is given.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from vae_client.answers import no_answer
from vae_client.errors import CallError, Refused
from vae_client.exchange import Call, Exchange, Part, Pause, Request, finish, shifted, unreachable
from vae_client.operations import LOG_LIKELIHOOD
from vae_client.refusals import refusal_of
from vae_client.results import LogLikelihoodProgress, LogLikelihoodScores
from vae_client.sources import Source

Given = LogLikelihoodProgress | LogLikelihoodScores


@dataclass(frozen=True)
class NextLine:
    """The next line of an answer under way; None at its end."""

    response: httpx.Response


@dataclass(frozen=True)
class Give:
    """What the caller is given."""

    value: Given


StreamSteps = Generator[Request | Pause | NextLine | Give, Any, None]


def stream(
    exchange: Exchange, sources: Sequence[Source], parameters: Mapping[str, Any]
) -> StreamSteps:
    """Score pictures request by request, and give each line as it comes."""
    call = exchange.begin(LOG_LIKELIHOOD, parameters, lambda done: None)
    for source in sources:
        whole = source.array is not None
        for piece in [source] if whole else source.cut(exchange.batch_size):
            labels = () if whole else piece.labels
            body = piece.request()
            try:
                yield from _part(exchange, call, Part(None, {}, body, labels, piece.name))
            except Refused as error:
                raise shifted(error, call.done) from error.__cause__
    yield Give(finish(LOG_LIKELIHOOD, call))


def _part(exchange: Exchange, call: Call, part: Part) -> StreamSteps:
    """Send one request, and give its running estimates."""
    query = {**part.query, **call.query, "format": "ndjson"}
    query.setdefault("first_item", str(call.first_item + call.done))
    options = {**part.body, "params": query}
    request = Request("POST", f"{call.path}/{LOG_LIKELIHOOD.name}", options, lines=True)
    response = yield from exchange.ask(request, part.labels, begun=bool(call.done))
    while True:
        try:
            line = yield NextLine(response)
        except httpx.HTTPError as error:
            raise unreachable(exchange.url, error) from error
        document = _read(response, line)
        if "results" in document:
            call.add(part, arrays_of(document))
            return
        if "item" not in document:
            raise refusal_of(document, part.labels)
        yield Give(_progress(document, call, part))


def _read(response: httpx.Response, line: str | None) -> dict[str, Any]:
    if line is None:
        raise CallError("The answer ended before its last line. Ask again.")
    try:
        document = json.loads(line)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not document.keys() & {"results", "item", "detail"}:
        raise no_answer(response)
    return document


def _progress(document: Mapping[str, Any], call: Call, part: Part) -> LogLikelihoodProgress:
    item = document["item"]
    place = item if part.name else call.done + item
    name = part.labels[item] if part.labels else f"{part.name}[{place}]"
    numbers = {key: _number(value) for key, value in document.items()}
    return LogLikelihoodProgress(**{**numbers, "item": call.done + item, "name": name})


def _number(value: Any) -> Any:
    """A number, or several; null is NaN."""
    if isinstance(value, list):
        return tuple(map(_number, value))
    return np.nan if value is None else value


def arrays_of(document: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The fields of an answer of scores in JSON, as npz has them."""
    facts = dict(document)
    results = facts.pop("results")
    facts.pop("preprocessing_steps", None)
    facts["warnings"] = json.dumps(facts["warnings"])
    facts["preprocessing"] = ["; ".join(steps) for steps in facts["preprocessing"]]
    if "label_used" in facts and facts["label_used"] is None:
        facts["label_used"] = ""
    columns = {name: _column(name, [row[name] for row in results]) for name in results[0]}
    return {**{name: np.asarray(value) for name, value in facts.items()}, **columns}


def _column(name: str, values: list[Any]) -> np.ndarray:
    """An array in which null is NaN among numbers, and "" among texts."""
    if name.endswith("reason"):
        return np.asarray([value or "" for value in values])
    flat = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    return np.asarray(values, dtype=float if None in flat else None)


def run_stream(http: httpx.Client, steps: StreamSteps) -> Generator[Given, None, None]:
    """Take the steps, and give what comes; whoever stops early stops the service's work."""
    with ExitStack() as stack:
        stack.callback(steps.close)
        lines: Iterator[str] = iter(())
        step = next(steps, None)
        while step is not None:
            answer: Any = None
            try:
                if isinstance(step, Give):
                    yield step.value
                elif isinstance(step, NextLine):
                    answer = next(lines, None)
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    asked = http.stream(step.method, step.path, **step.options)
                    answer = stack.enter_context(asked)
                    if answer.status_code != 200:
                        answer.read()
                    lines = answer.iter_lines()
            except httpx.HTTPError as error:
                step = steps.throw(error)
            else:
                step = _next(steps, answer)


async def run_stream_async(
    http: httpx.AsyncClient, steps: StreamSteps
) -> AsyncGenerator[Given, None]:
    """As `run_stream`, for asyncio."""
    async with AsyncExitStack() as stack:
        stack.callback(steps.close)
        lines: AsyncIterator[str] | None = None
        step = next(steps, None)
        while step is not None:
            answer: Any = None
            try:
                if isinstance(step, Give):
                    yield step.value
                elif isinstance(step, NextLine):
                    assert lines is not None  # a line is asked for after its response
                    answer = await anext(lines, None)
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    asked = http.stream(step.method, step.path, **step.options)
                    answer = await stack.enter_async_context(asked)
                    if answer.status_code != 200:
                        await answer.aread()
                    lines = answer.aiter_lines()
            except httpx.HTTPError as error:
                step = steps.throw(error)
            else:
                step = _next(steps, answer)


def _next(steps: StreamSteps, answer: Any) -> Request | Pause | NextLine | Give | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None
