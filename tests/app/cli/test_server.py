"""Real sockets and signals: draining, disconnects, large bodies, connections that stay open."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

import httpx
import pytest
import uvicorn

from app.api.logs import log_config
from app.cli.server import export_flags
from app.serving.lifecycle import Lifecycle, drain_on_signals
from app.serving.registry import Registry
from tests.app.pictures import JSON, NPY, PNG, binary, encoded, npy
from tests.app.server_process import ROOT, Served, serving

pytestmark = pytest.mark.slow

LONG = "/v1/log-likelihood?num_samples=10000"


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def log_lines(served: Served) -> list[dict[str, object]]:
    return [json.loads(line) for line in served.log.read_text().splitlines()]


def test_a_refused_request_keeps_its_connection(served: Served) -> None:
    with httpx.Client(base_url=served.url) as client:
        for _ in range(3):
            assert client.post("/v1/encode", content=b"x", headers=PNG).status_code == 415
            assert client.get("/v1/sample?n=1").status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/metrics", "/v1/models", "/v1/sample", "/nope"])
def test_head_has_the_headers_of_get_and_no_body(served: Served, path: str) -> None:
    with httpx.Client(base_url=served.url) as client:
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        refused = client.head("/v1/encode")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1_000_001, 30_000_000])
def test_a_body_over_the_limit_is_answered_and_not_cut_off(
    served: Served, size: int, chunked: bool
) -> None:
    def chunks() -> object:
        for _ in range(0, size, 65536):
            yield bytes(65536)

    content = chunks() if chunked else bytes(size)
    try:
        response = httpx.post(f"{served.url}/v1/encode", content=content, headers=PNG)  # type: ignore[arg-type]
    except httpx.WriteError:
        assert size > 2_000_000  # a client that does not listen while it sends
        return
    assert response.status_code == 413
    assert response.json()["type"] == "/problems/payload-too-large"


def test_a_client_that_leaves_frees_its_work(served: Served) -> None:
    body = npy(binary(50))
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST {LONG} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
        head += f"Content-Length: {len(body)}\r\nX-Request-ID: leaver\r\n\r\n"
        connection.sendall(head.encode() + body)
        deadline = time.monotonic() + 10
        while "vae_queue_jobs 1.0" not in served.client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    deadline = time.monotonic() + 10
    while "vae_queue_jobs 0.0" not in served.client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while not (found := [one for one in log_lines(served) if one.get("request_id") == "leaver"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [line["status"] for line in found] == [499]


def test_a_body_that_ends_early_is_nobodys_answer(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 1000\r\nX-Request-ID: liar\r\n\r\nshort"
        )
    deadline = time.monotonic() + 10
    while not [line for line in log_lines(served) if line.get("request_id") == "liar"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_short_requests_and_probes_do_not_wait_behind_a_long_one(served: Served) -> None:
    def score() -> None:
        httpx.post(f"{served.url}{LONG}", content=npy(binary(100)), headers=NPY, timeout=60)

    thread = threading.Thread(target=score)
    thread.start()
    deadline = time.monotonic() + 10
    while "vae_queue_jobs 1.0" not in served.client.get("/metrics").text:
        assert time.monotonic() < deadline
    started_at = time.monotonic()
    response = served.client.post("/v1/encode", content=encoded(binary()[0]), headers=PNG)
    seconds = time.monotonic() - started_at
    busy = thread.is_alive()
    thread.join()
    assert response.status_code == 200
    assert busy
    assert seconds < 2


def test_sigterm_flips_readiness_first_and_finishes_what_is_in_flight(
    repository: Path, tmp_path: Path
) -> None:
    with serving(repository, tmp_path / "log", "--drain-seconds", "1") as served:
        answers: list[int] = []

        def score() -> None:
            response = httpx.post(
                f"{served.url}{LONG}", content=npy(binary(30)), headers=NPY, timeout=60
            )
            answers.append(response.status_code)

        thread = threading.Thread(target=score)
        thread.start()
        time.sleep(0.3)
        served.signal()
        time.sleep(0.2)
        readiness = served.client.get("/readyz")
        assert served.client.get("/livez").status_code == 200
        assert served.client.get("/v1/sample?n=1").status_code == 200
        thread.join()
        assert served.wait() == 0
    assert readiness.status_code == 503
    assert readiness.json() == {"status": "draining"}
    assert answers == [200]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_does_not_wait_for_the_drain(
    repository: Path, tmp_path: Path, workers: str
) -> None:
    flags = ("--drain-seconds", "60", "--workers", workers)
    with serving(repository, tmp_path / "log", *flags) as served:
        served.signal(signal.SIGINT)
        until(lambda: '"stopping"' in served.log.read_text())
        served.signal()
        assert served.process.wait(timeout=30) == 0


def test_several_workers_answer_and_stop(repository: Path, tmp_path: Path) -> None:
    flags = ("--workers", "2", "--drain-seconds", "0", "--default-model", "colour")
    with serving(repository, tmp_path / "log", *flags) as served:
        assert served.client.get("/v1/sample?format=json&n=1").json()["model"] == "colour"
        served.signal()
        assert served.wait() == 0


@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_a_signal_before_the_models_are_loaded_ends_at_once_with_0(seconds: float) -> None:
    code = (
        "import sys; sys.argv = ['vae', 'serve', '--port', '0']; from app.__main__ import main; "
        "print('begun', flush=True); main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        _, written = process.communicate(timeout=30)
    assert (process.returncode, written) == (0, "")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_on_a_terminal_the_server_speaks_in_words_and_ctrl_c_ends_it(
    repository: Path, workers: str
) -> None:
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--workers", workers]
    command += ["--model-repository", str(repository), "--drain-seconds", "0"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, stderr=theirs, start_new_session=True)
    os.close(theirs)
    written = b""
    try:
        while b"Ctrl-C" not in written:
            written += os.read(ours, 4096)
        (url,) = re.findall(rb"listens on \S*?(http://127.0.0.1:\d+)", written)
        assert httpx.get(f"{url.decode()}/v1/models/oracle", timeout=60).status_code == 200
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(timeout=60) == 0
        with suppress(OSError):  # where Linux says that the other end is closed
            while more := os.read(ours, 4096):
                written += more
    finally:
        process.kill()
        os.close(ours)
    words = written.decode()
    assert re.search(r"\d\d:\d\d:\d\d  200 GET /v1/models/oracle  ", words)
    assert "info: stopping (" in words
    assert "{" not in words
    assert "Traceback" not in words


@pytest.mark.anyio
async def test_the_first_signal_drains_and_the_second_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[float] = []
    server = uvicorn.Server(uvicorn.Config(app="none"))
    uvicorn_has = types.MethodType(lambda self, *_: stops.append(time.monotonic()), server)
    lifecycle = Lifecycle(Registry(tmp_path))
    before = signal.signal(signal.SIGTERM, uvicorn_has)
    try:
        drain_on_signals(lifecycle, 0.05)
        signal.raise_signal(signal.SIGTERM)
        assert lifecycle.draining
        assert not stops
        await asyncio.sleep(0.3)
        assert len(stops) == 1
        signal.raise_signal(signal.SIGTERM)
        assert len(stops) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_flags_go_to_the_environment_as_settings_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from app.settings import load_settings

    monkeypatch.setattr(os, "environ", dict(os.environ))
    export_flags({"port": 9, "docs": False, "cors_origins": ["http://a"], "device": None})
    settings = load_settings()
    assert (settings.port, settings.docs, settings.cors_origins) == (9, False, ("http://a",))
    assert "VAE_DEVICE" not in os.environ


def test_the_log_has_the_level_asked_for() -> None:
    assert log_config("warning")["loggers"]["app"]["level"] == "WARNING"


@pytest.mark.anyio
async def test_signals_are_left_alone_where_uvicorn_has_none(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    drain_on_signals(Lifecycle(Registry(tmp_path)), 1.0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_lying_lengths_and_headers_are_no_crash(served: Served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    for head in (
        b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.settimeout(10)
            connection.sendall(head)
            assert connection.recv(4096).split(b" ")[1] in (b"400", b"413", b"415")
    assert served.client.post("/v1/encode", content=b"{}", headers=JSON).status_code == 422
