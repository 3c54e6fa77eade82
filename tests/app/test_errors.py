"""Every exception has its status and its slug, and messages that any caller can be sent."""

import inspect
import json
import math

import httpx
import orjson
import pytest

from app import errors
from app.api.problems import TABLE, Problem, bounded, describe, lookup
from app.errors import ServiceError
from models import errors as model_errors
from models.errors import BundleCorrupt, ShapeMismatch, VAEError
from tests.app.conftest import ClientFactory
from tests.app.refusals import refused


def leaves() -> list[type[Exception]]:
    """The exceptions of both trees that have no subclass."""
    found = [
        member
        for module in (errors, model_errors)
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, VAEError) and not member.__subclasses__()
    ]
    return sorted(set(found), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("error", leaves(), ids=lambda cls: cls.__name__)
def test_every_leaf_of_the_tree_has_a_status_of_its_own_or_its_parents(
    error: type[Exception],
) -> None:
    status, slug = lookup(error)
    assert 400 <= status < 600
    assert slug != "internal-error" or any(cls in TABLE for cls in error.__mro__[:3])


def test_what_nobody_foresaw_is_a_500() -> None:
    assert lookup(KeyError) == (500, "internal-error")
    assert lookup(KeyboardInterrupt) == (500, "internal-error")


def test_one_slug_has_one_status() -> None:
    statuses: dict[str, set[int]] = {}
    for status, slug in TABLE.values():
        statuses.setdefault(slug, set()).add(status)
    assert all(len(found) == 1 for found in statuses.values())


def test_every_error_of_the_service_says_when_it_arises() -> None:
    assert all(error.__doc__ for error in TABLE)
    assert issubclass(errors.QueueFull, ServiceError)


def test_text_that_utf8_cannot_carry_does_not_break_the_answer() -> None:
    error = ShapeMismatch("lone \ud800 surrogate", items=((0, "\udfff"),))
    response = describe(error, instance="/v1/\ud800", request_id="1")
    assert response.status_code == 422
    assert b"lone ? surrogate" in response.body


def test_what_a_problem_repeats_is_json_of_bounded_length() -> None:
    values = {"a": "x" * 300, "b": [1] * 100, "c": 2**70, "d": math.inf, "e": {1: None}, "f": True}
    cut = json.loads(orjson.dumps(bounded(values)))
    assert cut["a"] == "x" * 200 + "..."
    assert cut["b"] == [1] * 64
    assert cut["c"] == str(2**70)
    assert cut["d"] == "inf"
    assert cut["e"] == {"1": None}
    assert cut["f"] is True
    assert bounded(b"x") == "b'x'"


def test_members_of_an_error_are_members_of_its_problem() -> None:
    details = {"parameter": "n", "received": 9, "allowed": [1, 2], "limit": 2, "suggestion": 2}
    error = errors.InvalidParameter("n=9 is too large.", **details)
    problem = json.loads(describe(error, instance="/v1/sample", request_id="1").body)
    assert {name: problem[name] for name in details} == details
    assert Problem.model_validate(problem).suggestion == 2
    hidden = json.loads(
        describe(BundleCorrupt("/srv", received=1), instance="/", request_id="1").body
    )
    assert "received" not in hidden


@pytest.mark.anyio
async def test_a_fault_of_ours_inside_the_tree_is_a_500_without_detail(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_client() as client:

        def broken(*arguments: object) -> None:
            raise BundleCorrupt("/srv/models/secret is broken")

        registry = client.app.state.service.registry  # type: ignore[attr-defined]
        monkeypatch.setattr(registry, "find", broken)
        response: httpx.Response = await client.get("/v1/sample")
    refused(response, 500, "internal-error")
    assert "secret" not in response.text
