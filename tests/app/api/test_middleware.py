"""Every answer's headers, ids, keys, log lines and metrics; and what a crash says of itself."""

import json
import logging
from collections.abc import Iterator
from unittest.mock import patch

import httpx
import pytest

from app.api.keys import hash_key
from app.api.logs import JSONFormatter
from app.api.service import Service
from app.compute.table import COMPUTE
from models.errors import ConfigError
from tests.app.conftest import ClientFactory
from tests.app.pictures import PNG, binary, encoded
from tests.app.refusals import refused

pytestmark = pytest.mark.anyio


class Lines(logging.Handler):
    """Keeps what is logged, as the JSON that it becomes."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The service's log."""
    handler, logger = Lines(), logging.getLogger("app")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler
    logger.removeHandler(handler)


def service_of(client: httpx.AsyncClient) -> Service:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


# Ids and headers -------------------------------------------------------------------------------


async def test_a_callers_id_is_kept_and_an_unsafe_one_replaced(open_client: ClientFactory) -> None:
    async with open_client() as client:
        kept = await client.get("/livez", headers={"X-Request-ID": "a-B.9_~+/=:@"})
        for unsafe in ("", "x" * 129, "a b", "<script>", 'a"b'):
            replaced = await client.get("/livez", headers={"X-Request-ID": unsafe})
            assert len(replaced.headers["x-request-id"]) == 32
    assert kept.headers["x-request-id"] == "a-B.9_~+/=:@"


async def test_every_answer_has_the_security_headers(open_client: ClientFactory) -> None:
    async with open_client() as client:
        for path in ("/", "/docs", "/v1/sample", "/nothing", "/livez", "/assets/main.js"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"


async def test_browsers_of_other_origins_may_not_call_unless_set(
    open_client: ClientFactory,
) -> None:
    origin = {"Origin": "http://a.example"}
    preflight = {**origin, "Access-Control-Request-Method": "POST"}
    async with open_client() as client:
        closed = await client.get("/v1/sample", headers=origin)
    key = hash_key("secret")
    async with open_client(cors_origins=("http://a.example",), api_keys_sha256=(key,)) as client:
        asked = await client.options("/v1/encode", headers=preflight)
        answered = await client.get(
            "/v1/sample", headers={**origin, "Authorization": "Bearer secret"}
        )
        refused_ = await client.get("/v1/sample", headers=origin)
    assert "access-control-allow-origin" not in closed.headers
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "http://a.example"
    assert "X-Seed" in answered.headers["access-control-expose-headers"]
    assert refused_.status_code == 401
    assert refused_.headers["access-control-allow-origin"] == "http://a.example"


# Keys ------------------------------------------------------------------------------------------


async def test_with_keys_set_only_their_holders_pass(open_client: ClientFactory) -> None:
    keys = (hash_key("first"), hash_key("second"))
    async with open_client(api_keys_sha256=keys) as client:
        for key in ("first", "second"):
            for scheme in ("Bearer", "bearer"):
                header = {"Authorization": f"{scheme} {key}"}
                assert (await client.get("/v1/models", headers=header)).status_code == 200
        for header in (
            {},
            {"Authorization": "Bearer third"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic first"},
            {"Authorization": "first"},
            {"Authorization": f"Bearer {keys[0]}"},
        ):
            response = await client.get("/v1/models", headers=header)
            refused(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
        refused(await client.get("/nothing"), 401, "unauthorized")


async def test_probes_and_pages_stay_open_and_metrics_as_set(open_client: ClientFactory) -> None:
    keys = (hash_key("secret"),)
    async with open_client(api_keys_sha256=keys) as client:
        for path in (
            "/livez",
            "/readyz",
            "/healthz",
            "/",
            "/docs",
            "/openapi.json",
            "/assets/main.js",
        ):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/openapi.json")).json()["security"] == [{"key": []}]
    async with open_client(api_keys_sha256=keys, metrics_open=True) as client:
        assert (await client.get("/metrics")).status_code == 200
        document = (await client.get("/openapi.json")).json()
    assert document["paths"]["/metrics"]["get"]["security"] == []


# Crashes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [RuntimeError, ConfigError])
async def test_a_crash_says_nothing_of_itself_but_the_log_has_it_by_its_id(
    open_client: ClientFactory,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Exception],
) -> None:
    def crash(*arguments: object) -> None:
        raise fault("the secret of /srv/models")

    monkeypatch.setitem(COMPUTE, "sample", crash)
    async with open_client() as client:
        response = await client.get("/v1/sample", headers={"X-Request-ID": "mine"})
        problem = refused(response, 500, "internal-error")
        assert (await client.get("/v1/models")).status_code == 200
    assert "secret" not in response.text
    assert "mine" in problem["detail"]
    (crash_line,) = [line for line in lines.lines if line["message"] == "crash"]
    assert crash_line["request_id"] == "mine"
    assert "the secret of /srv/models" in str(crash_line["traceback"])


async def test_a_crash_after_the_answer_began_is_not_answered_twice(
    open_client: ClientFactory, lines: Lines
) -> None:
    async with open_client() as client:

        async def broken(scope: object, receive: object, send: object) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
            raise RuntimeError("late")

        client.app.mount("/broken", broken)  # type: ignore[attr-defined]
        await client.get("/broken/now")
    assert [line["message"] for line in lines.lines] == ["crash", "request"]


# Log and metrics -------------------------------------------------------------------------------


async def test_each_request_is_one_line_and_probes_are_none(
    open_client: ClientFactory, lines: Lines
) -> None:
    async with open_client() as client:
        await client.get("/v1/sample?seed=1", headers={"X-Request-ID": "mine"})
        await client.get("/livez")
    (line,) = [line for line in lines.lines if line["message"] == "request"]
    assert line["request_id"] == "mine"
    assert line["method"] == "GET"
    assert line["path"] == "/v1/sample"
    assert line["query"] == "seed=1"
    assert line["status"] == 200
    assert line["operation"] == "sample"
    assert line["model"] == "mnist"
    assert line["level"] == "info"
    assert str(line["time"]).endswith("Z")


async def test_the_access_log_can_be_turned_off(open_client: ClientFactory, lines: Lines) -> None:
    async with open_client(access_log=False) as client:
        await client.get("/v1/sample")
    assert not lines.lines


async def test_requests_are_counted_by_known_names_only(open_client: ClientFactory) -> None:
    async with open_client() as client:
        await client.post("/v1/encode", content=encoded(binary()[0]), headers=PNG)
        await client.post("/v1/encode", content=b"", headers={"Content-Type": "evil/type-1"})
        await client.get("/v1/models/evil-model/sample")
        await client.get("/evil-path")
        text = (await client.get("/metrics")).text
    png = 'media_type="image/png",model="mnist",operation="encode",status="200"'
    assert f"vae_requests_total{{{png}}} 1.0" in text
    assert 'media_type="other",model="mnist",operation="encode",status="415"' in text
    assert 'vae_items_total{model="mnist",operation="encode"} 1.0' in text
    assert 'vae_bundles{status="ready"} 5.0' in text
    assert "evil" not in text


async def test_the_queues_gauges_are_read_when_asked_for(open_client: ClientFactory) -> None:
    async with open_client() as client:
        text = (await client.get("/metrics")).text
    assert "vae_queue_cost 0.0" in text
    assert "vae_queue_jobs 0.0" in text
    assert "vae_requests_in_flight 1.0" in text


# Overload and time -----------------------------------------------------------------------------


async def test_as_many_requests_as_may_be_are_answered_and_the_next_is_refused(
    open_client: ClientFactory,
) -> None:
    async with open_client(max_queue_requests=1) as client:
        scheduler = service_of(client).scheduler
        with patch.object(scheduler, "_jobs", {object()}):
            response = await client.get("/v1/sample")
            refused(response, 503, "queue-full")
        assert (await client.get("/v1/sample")).status_code == 200
        assert scheduler.jobs == 0
    assert response.headers["retry-after"] == "1"


async def test_a_request_over_its_time_is_504_and_its_work_is_dropped(
    open_client: ClientFactory,
) -> None:
    body = {"images": binary(20).tolist()}
    async with open_client(request_timeout_seconds=0.1) as client:
        response = await client.post("/v1/log-likelihood?num_samples=10000", json=body)
        refused(response, 504, "deadline-exceeded")
        import asyncio

        async with asyncio.timeout(5):
            while service_of(client).scheduler.jobs:
                await asyncio.sleep(0.01)


async def test_what_is_not_http_passes_through() -> None:
    from app.api.metrics import Metrics
    from app.api.middleware import Observe

    seen: list[object] = []

    async def inner(scope: object, receive: object, send: object) -> None:
        seen.append(scope)

    observe = Observe(inner, metrics=Metrics(), access_log=True)
    await observe({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


async def test_two_lengths_of_a_body_are_refused_and_the_connection_closes(
    open_client: ClientFactory,
) -> None:
    headers = {"Transfer-Encoding": "chunked", "Content-Length": "2"}
    async with open_client() as client:
        response = await client.post("/v1/encode", content=b"{}", headers=headers)
    problem = refused(response, 400, "malformed-request")
    assert problem["parameter"] == "Transfer-Encoding"
    assert response.headers["connection"] == "close"
