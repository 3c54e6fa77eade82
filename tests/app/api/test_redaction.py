"""Secrets in URLs reach no log and no answer."""

import json
import logging
from collections.abc import Iterator

import pytest

from app.api.logs import JSONFormatter
from app.api.problems import problem
from app.api.redaction import is_secret, redact_path, redact_query, redact_url
from tests.app.conftest import ClientFactory

SECRET = "s3cr3t/+=="
NAMES = (
    *(
        "api_key",
        "apikey",
        "API_KEY",
        "Api-Key",
        "apiKey",
        "x-api-key",
        "api.key",
        "key",
        "sub_key",
    ),
    *("token", "access_token", "id_token", "token[]", "csrf-token", "tokens"),
    *("password", "passwd", "pwd", "user[password]", "passphrase", "db_pass"),
    *("secret", "client_secret", "secretKey", "credential", "X-Amz-Credential", "X-Amz-Signature"),
    *(
        "authorization",
        "Authorization",
        "auth",
        "bearer",
        "jwt",
        "sig",
        "signature",
        "session",
        "sid",
    ),
    *("api%5Fkey", "%61pi_key", "api%255fkey", "to%6ben", "api+key", "api_key%20", "next=%3Ftoken"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_value_of_a_name_that_looks_secret_is_replaced(name: str) -> None:
    for query in (f"{name}={SECRET}", f"n=1&{name}={SECRET}&seed=2", f"a=1;{name}={SECRET}"):
        assert "s3cr3t" not in redact_query(query)
        assert "[redacted]" in redact_query(query)
    assert redact_query(f"n=1&{name}={SECRET}&seed=2").endswith("&seed=2")


def test_each_of_repeated_names_is_replaced() -> None:
    redacted = redact_query("api_key=a&api_key=b&n=1&API_KEY=c")
    assert redacted == "api_key=[redacted]&api_key=[redacted]&n=1&API_KEY=[redacted]"


@pytest.mark.parametrize("encoded", ["api_key%3Ds3cr3t", "api%5Fkey%3Ds3cr3t", "token:s3cr3t"])
def test_a_value_behind_an_encoded_sign_is_replaced_whole(encoded: str) -> None:
    assert redact_query(f"n=1&{encoded}") == "n=1&[redacted]"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "n=16&seed=1&label=2&first_item=3&num_samples=4&format=json&path=linear&resize=never",
        "monkey=1&keyboard=2&author=3&design=4&label=token&bypass=5&compass=6",
    ],
)
def test_what_is_no_secret_stays(query: str) -> None:
    assert redact_query(query) == query
    assert redact_url(f"/v1/sample?{query}") == f"/v1/sample?{query}"


def test_a_path_ends_at_its_first_secret() -> None:
    assert redact_path("/v1/sample") == "/v1/sample"
    assert redact_path(f"/v1/token={SECRET}/x") == "/v1/token=[redacted]"
    assert redact_path(f"/v1/sample;key={SECRET}") == "/v1/sample;key=[redacted]"
    assert redact_path(f"/v1/x?api_key={SECRET}") == "/v1/x?api_key=[redacted]"


def test_names_of_secrets_are_told_from_parameters() -> None:
    assert is_secret("api_key")
    assert is_secret("Authorization")
    assert not is_secret("n")
    assert not is_secret("label")


def test_a_problem_does_not_repeat_a_secret() -> None:
    details = {"parameter": "access_token", "received": "s3cr3t"}
    answer = problem(422, "x", "No.", instance="/v1/token=s3cr3t", request_id="1", details=details)
    assert b"s3cr3t" not in answer.body
    assert json.loads(answer.body)["parameter"] == "access_token"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Every record of every logger but the test's own client, as the service writes it."""
    found: list[str] = []
    formatter = JSONFormatter()
    handler = logging.Handler()
    handler.addFilter(lambda record: record.name != "httpx")
    handler.emit = lambda record: found.append(formatter.format(record))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    with caplog.at_level(logging.DEBUG):
        yield found
    logging.getLogger().removeHandler(handler)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["api_key", "API%5FKEY", "password", "X-Amz-Signature"])
async def test_neither_logs_nor_answers_have_a_secret(
    open_client: ClientFactory, lines: list[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with open_client() as client:
        answers = [
            await client.get(f"/v1/sample?n=1&{name}=s3cr3t"),
            await client.post(f"/v1/sample?{name}=s3cr3t"),
            await client.post(f"/v1/smaple?{name}=s3cr3t"),
            await client.get(f"/v1/nothing%3F{name}=s3cr3t"),
            await client.get(f"/v1/models/{name}=s3cr3t/sample"),
            await client.post("/v1/elbo", json={"images": [], name: "s3cr3t"}),
        ]
        registry = client.app.state.service.registry  # type: ignore[attr-defined]
        monkeypatch.setattr(registry, "find", lambda *_, **__: 1 / 0)
        registry.published += 1  # as if other models were served from now on
        answers.append(await client.get(f"/v1/sample?{name}=s3cr3t"))
        uvicorn = logging.getLogger("uvicorn.access")
        uvicorn.info('%s - "%s %s HTTP/%s" %d', "::1", "GET", f"/v1/x?{name}=s3cr3t", "1.1", 200)
        uvicorn.info("ready")
    assert [answer.status_code for answer in answers] == [422, 405, 404, 404, 404, 422, 500]
    assert "s3cr3t" not in "".join(lines)
    assert any("HTTP/1.1" in line and "[redacted]" in line for line in lines)
    for answer in answers:
        assert "s3cr3t" not in answer.text, answer.text
