"""Requests in parts: what one refused item costs the others, and what stops a command."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.cli.client import Client
from app.cli.sending import Rows, Sender, all_failed, in_words, mean_score
from app.operations.table import OPERATIONS
from tests.app.pictures import npz
from vae_client.answers import join
from vae_client.errors import CallError, Refused, UnreadableItems
from vae_client.sources import Source

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx.Request, list[bytes]], httpx.Response]


def problem(status: int, detail: str, **members: object) -> httpx.Response:
    return httpx.Response(status, json={"detail": detail, **members})


def scores(pictures: list[bytes]) -> httpx.Response:
    """The answer of a service that scores a picture by its length."""
    return httpx.Response(200, content=npz(elbo_nats=np.array([float(len(p)) for p in pictures])))


def pictures_of(request: httpx.Request) -> list[bytes]:
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = request.content.split(b"--" + boundary)[1:-1]
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]


async def sent(
    answer: Answer, source: Source, *, batch_size: int = 32, strict: bool = False
) -> tuple[Rows, list[httpx.Request]]:
    """The rows of a source, and the requests that were made for them."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        is_form = request.headers["content-type"].startswith("multipart")
        return answer(request, pictures_of(request) if is_form else [])

    transport = httpx.MockTransport(handle)
    async with httpx.AsyncClient(transport=transport, base_url="http://vae") as http:
        rows = Rows()
        sender = Sender(Client(http, "m", 1), OPERATIONS["elbo"], {"seed": "1"}, strict=strict)
        await sender.send(source, rows, batch_size=batch_size)
    return rows, requests


def pictures(n: int) -> Source:
    return Source(tuple(f"{i}.png" for i in range(n)), tuple(bytes(i + 1) for i in range(n)))


async def test_items_that_the_service_names_are_left_out_and_the_rest_is_sent_again() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        bad = [i for i, one in enumerate(sent) if len(one) in (2, 4)]
        items = [{"index": i, "reason": f"bad {len(sent[i])}"} for i in bad]
        return problem(400, "bad", items=items) if bad else scores(sent)

    rows, requests = await sent(refuse, pictures(5), batch_size=3)
    assert rows.labels == ["0.png", "2.png", "4.png"]
    assert rows.failed == [("1.png", "bad 2"), ("3.png", "bad 4")]
    assert join(rows.answers)["elbo_nats"].tolist() == [1, 3, 5]
    assert [r.url.params["first_item"] for r in requests] == ["0", "0", "2", "2"]
    assert rows.count == 5


async def test_a_request_that_is_too_large_is_divided() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        if len(sent) > 2:
            return problem(413, "too large", parameter="num_samples")
        return scores(sent)

    rows, requests = await sent(refuse, pictures(7))
    assert rows.labels == [f"{i}.png" for i in range(7)]
    assert rows.failed == []
    assert [r.url.params["first_item"] for r in requests] == ["0", "0", "0", "1", "3", "3", "5"]


async def test_a_file_at_fault_is_found_where_the_service_names_none() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        bad = any(len(one) == 6 for one in sent)
        return problem(415, "no picture", parameter="images") if bad else scores(sent)

    rows, _ = await sent(refuse, pictures(8))
    assert rows.failed == [("5.png", "no picture")]
    assert len(rows.labels) == 7


async def test_a_proxy_that_refuses_a_size_without_a_problem_is_understood() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        return httpx.Response(413, text="<html>") if len(sent[-1]) > 1 else scores(sent)

    rows, _ = await sent(refuse, pictures(2))
    assert rows.labels == ["0.png"]
    assert rows.failed == [("1.png", "The service answered 413 Request Entity Too Large.")]


@pytest.mark.parametrize("status", [404, 413, 422, 500])
async def test_a_fault_of_the_parameters_stops_at_once(status: int) -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        return problem(status, "no", parameter="num_samples")

    with pytest.raises(Refused, match="no"):
        await sent(refuse, pictures(2))


async def test_a_strict_command_stops_at_the_first_fault() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        return problem(400, "bad", items=[{"index": 1, "reason": "bad"}])

    with pytest.raises(Refused, match=r"^1\.png: bad$"):
        await sent(refuse, pictures(2), strict=True)


async def test_a_file_that_vanishes_while_it_runs_costs_no_other(tmp_path: Path) -> None:
    source = Source(("a", "gone", "b"), (b"1", tmp_path / "gone", b"123"))
    rows, _ = await sent(lambda request, sent: scores(sent), source)
    assert rows.labels == ["a", "b"]
    assert rows.failed == [
        ("gone", "No such file or directory. Check the file and its permissions.")
    ]
    with pytest.raises(UnreadableItems, match="gone: No such file"):
        await sent(lambda request, sent: scores(sent), source, strict=True)


async def test_files_that_all_vanish_cost_no_request(tmp_path: Path) -> None:
    rows, requests = await sent(
        lambda request, sent: scores(sent), Source(("gone",), (tmp_path / "gone",))
    )
    assert (rows.labels, len(rows.failed), requests) == ([], 1, [])


async def test_an_array_of_another_shape_has_failed_as_one_file() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        return problem(422, "has another shape", parameter="latents")

    array = np.zeros((5, 3), np.float32)
    labels = tuple(f"z.npy[{i}]" for i in range(5))
    rows, requests = await sent(refuse, Source(labels, array=array), batch_size=2)
    assert rows.failed == [("z.npy", "z.npy: has another shape")]
    assert len(requests) == 1


async def test_a_row_of_an_array_that_is_at_fault_is_named_and_the_others_are_sent() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        array = np.load(io.BytesIO(request.content))["images"]
        bad = np.flatnonzero(np.isnan(array[:, 0])).tolist()
        items = [{"index": i, "reason": "NaN"} for i in bad]
        return problem(422, "NaN", items=items) if bad else scores([b"1"] * len(array))

    array = np.array([[0.0], [np.nan], [1.0]])
    rows, _ = await sent(refuse, Source(("z[0]", "z[1]", "z[2]"), array=array))
    assert rows.labels == ["z[0]", "z[2]"]
    assert rows.failed == [("z[1]", "NaN")]


async def test_items_that_the_service_invents_are_not_trusted() -> None:
    def refuse(request: httpx.Request, sent: list[bytes]) -> httpx.Response:
        content = json.dumps({"detail": "no", "items": [{"index": 9, "reason": "?"}]})
        return httpx.Response(422, content=content)

    with pytest.raises(Refused, match="no"):
        await sent(refuse, pictures(2))


async def test_the_score_is_the_mean_of_what_is_done() -> None:
    assert mean_score([]) == ""
    assert mean_score([{"mean": np.zeros(2)}]) == ""
    assert mean_score([{"elbo_nats": np.array([1.0, 3.0])}]) == "mean elbo_nats 2.00"


async def test_what_failed_is_said_with_its_name_once() -> None:
    assert in_words("a", "a is bad.") == "a is bad."
    assert in_words("a", "bad.") == "a: bad."
    assert str(all_failed([("a", "bad.")])) == "a: bad."
    assert isinstance(all_failed([("a", "bad.")]), CallError)
    several = str(all_failed([("a", "bad."), ("b", "worse.")]))
    assert several == "None of the 2 inputs could be read:\n  a: bad.\n  b: worse."
