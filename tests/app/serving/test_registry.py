"""The registry: which model is the default, and threads of compute."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from app.serving import loading, registry
from tests.app.conftest import ClientFactory
from tests.app.pictures import PNG, binary, encoded
from tests.app.refusals import refused
from tests.app.repository import make_repository

pytestmark = pytest.mark.anyio


async def test_the_default_model_is_the_one_set_or_mnist_or_the_only_one(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    async with open_client(default_model="oracle") as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "oracle"
    async with open_client() as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "mnist"
    make_repository(tmp_path)
    for name in ("mnist", "mnist-labelled", "oracle"):
        shutil.rmtree(tmp_path / name)
    async with open_client(model_repository=tmp_path) as client:
        assert (await client.get("/v1/sample?format=json")).json()["model"] == "colour"


async def test_of_several_models_none_is_the_default_and_the_refusal_lists_them(
    open_client: ClientFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_repository(tmp_path)
    shutil.rmtree(tmp_path / "mnist")
    async with open_client(model_repository=tmp_path) as client:
        for method, operation in (("GET", "sample"), ("POST", "elbo"), ("POST", "log-likelihood")):
            answer = await client.request(method, f"/v1/{operation}")
            problem = refused(answer, 409, "no-default-model")
            assert problem["allowed"] == ["colour", "mnist-labelled", "oracle"]
            assert problem["suggestion"] == f"/v1/models/colour/{operation}"
            assert problem["detail"] == (
                "This server has no default model. Name one in the path: /v1/models/colour/"
                f"{operation}. Available: colour, mnist-labelled, oracle."
            )
        assert (await client.get("/readyz")).json() == {"status": "ok"}
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.get("/v1/models/colour/sample?n=1")).status_code == 200
        listed = (await client.get("/v1/models")).json()["models"]
    assert not any(entry["default"] for entry in listed)
    (warning,) = [record for record in caplog.records if record.message == "no default model"]
    assert warning.fields["models"] == ["colour", "mnist-labelled", "oracle"]  # type: ignore[attr-defined]


async def test_no_other_model_stands_in_for_a_broken_mnist(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    for name in ("colour", "mnist-labelled"):
        shutil.rmtree(tmp_path / name)
    for version in ("1", "2"):
        (tmp_path / "mnist" / version / "config.json").write_text("{}")
    async with open_client(model_repository=tmp_path) as client:
        problem = refused(await client.get("/v1/sample"), 409, "no-default-model")
    assert problem["allowed"] == ["oracle"]


async def test_a_broken_default_model_is_logged_and_said(
    open_client: ClientFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_repository(tmp_path)
    (tmp_path / "colour" / "1" / "model.safetensors").write_bytes(b"")
    async with open_client(model_repository=tmp_path, default_model="colour") as client:
        problem = refused(await client.get("/v1/sample"), 404, "unknown-model")
    assert "(VAE_DEFAULT_MODEL), is broken and not served" in problem["detail"]
    assert any(record.message == "the default model is not served" for record in caplog.records)


# Loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied", "/srv/x"), MemoryError(), RecursionError("deep")],
)
@pytest.mark.parametrize("at", ["load_bundle", "serve_bundle"])
def test_whatever_a_bundle_raises_is_logged_and_listed_and_the_others_are_served(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    at: str,
) -> None:
    given = getattr(loading, at)

    def fail_once(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(loading, at, given)
        raise error

    monkeypatch.setattr(loading, at, fail_once)
    found = registry.Registry(repository)
    found.load()
    assert found.loaded
    (broken,) = found.broken
    assert (broken.name, broken.version) == ("colour", 1)
    assert (
        broken.reason
        == {
            PermissionError: "/srv/x cannot be read: Permission denied. Check its permissions.",
            MemoryError: "MemoryError",
            RecursionError: "deep",
        }[type(error)]
    )
    assert sorted(found.models) == ["mnist", "mnist-labelled", "oracle"]
    (record,) = [record for record in caplog.records if record.message == "bundle refused"]
    assert (record.exc_info is None) == isinstance(error, OSError)


def test_what_cannot_be_read_at_all_ends_the_loading_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = registry.Registry(tmp_path / "nowhere")
    found.load()
    assert found.loaded
    assert found.why_not_served is not None
    assert found.why_not_served.startswith("The model repository <repository> cannot be read: No")
    monkeypatch.setattr(torch, "set_num_threads", _overflow)
    failed = registry.Registry(tmp_path, compute_threads=1)
    failed.load()
    assert (failed.loaded, failed.fault) == (True, "too many")
    assert [record.message for record in caplog.records].count("loading stopped") == 2


def test_a_model_that_cannot_encode_and_decode_one_row_is_broken(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "warm_up", lambda served: 1 / 0)
    found = registry.Registry(repository)
    found.load()
    assert {broken.reason for broken in found.broken} == {"division by zero"}
    assert found.models == {}


def _overflow(number: int) -> None:
    raise OverflowError("too many")


def test_while_models_are_loading_the_first_one_is_no_default(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.Registry(repository)
    seen: list[tuple[int, str | None]] = []
    serve_bundle = loading.serve_bundle

    def watched(*arguments: object) -> object:
        seen.append((len(found.models), found.default_name))
        return serve_bundle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "serve_bundle", watched)
    found.load()
    assert (1, None) in seen
    assert found.default_name == "mnist"


def test_loading_ends_even_where_nothing_can_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry.Registry(tmp_path)
    monkeypatch.setattr(found, "_report", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        found.load()
    assert found.loaded


async def test_a_failure_of_the_loading_itself_is_logged_while_the_service_runs(
    open_client: ClientFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry.Registry, "_report", lambda self: 1 / 0)
    async with open_client() as client:
        assert (await client.get("/readyz")).status_code == 200
    assert [record.message for record in caplog.records if record.exc_info] == ["loading failed"]


async def test_folders_that_are_no_bundles_are_listed_with_the_reason(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    for folder in ("mnist/01", "mnist/-1", "mnist/1.0", "mnist/18446744073709551616", "lost+found"):
        (tmp_path / folder).mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkfifo(tmp_path / "oracle" / "1" / "pipe")
    (tmp_path / "mnist" / "3").symlink_to(tmp_path / "mnist" / "1")
    (tmp_path / "mnist" / "4").symlink_to("/etc")
    async with open_client(model_repository=tmp_path) as client:
        answer = await client.get("/v1/models")
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/v1/sample?format=json")).json()["version"] == 2
    listed = [entry for entry in answer.json()["models"] if entry["status"] == "broken"]
    found = {(entry["name"], entry["version"], entry["reason"]) for entry in listed}
    rename = "Rename it to a whole number from 1 to 2147483647, without leading zeros."
    name = "is no model's. Rename it: a-z, 0-9, - and _, at most 64 characters."
    assert found == {
        ("mnist", None, f"The folder mnist/01 is written otherwise than versions are. {rename}"),
        ("mnist", None, f"The folder mnist/-1 is written otherwise than versions are. {rename}"),
        ("mnist", None, f"The folder mnist/1.0 is written otherwise than versions are. {rename}"),
        (
            "mnist",
            None,
            "The folder mnist/18446744073709551616 is written otherwise than versions are. "
            f"{rename}",
        ),
        ("lost+found", None, f"The folder's name 'lost+found' {name}"),
        ("caf\\udce9", None, f"The folder's name 'caf\\udce9' {name}"),
        (
            "oracle",
            1,
            "<repository>/oracle/1/pipe is a device, a pipe or a socket; a bundle holds plain "
            "files only. Replace it by the file itself.",
        ),
        (
            "mnist",
            3,
            "<repository>/mnist/3 is a link; it holds the bundle mnist/1. Remove the link.",
        ),
        ("mnist", 4, "<repository>/mnist/4 has no manifest.json. Export the bundle again."),
    }


async def test_the_number_of_compute_threads_can_be_set(open_client: ClientFactory) -> None:
    before = torch.get_num_threads()
    try:
        async with open_client(compute_threads=1):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


async def test_where_no_served_model_can_the_refusal_says_so(
    open_client: ClientFactory, tmp_path: Path
) -> None:
    make_repository(tmp_path)
    shutil.rmtree(tmp_path / "mnist-labelled")
    async with open_client(model_repository=tmp_path) as client:
        answer = await client.post("/v1/classify", content=encoded(binary(1)[0]), headers=PNG)
    problem = refused(answer, 409, "unsupported-operation")
    assert problem["detail"].endswith("No other served model can.")
    assert (problem["parameter"], problem["received"]) == ("model", "mnist")
    assert "suggestion" not in problem
