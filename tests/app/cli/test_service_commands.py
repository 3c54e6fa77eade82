"""The commands besides the operations: their list, `models`, `serve` and `hash-key`."""

import json
import os
import runpy
from pathlib import Path
from unittest.mock import Mock

import pytest

from app.api.keys import hash_key
from app.cli.operation_command import HIDDEN
from app.cli.refusals import message_of
from app.operations.table import OPERATIONS
from app.settings import Settings
from models.images.spec import ImageSpec
from tests.app.cli.command_cases import Vae, done
from tests.app.repository import (
    LATENTS,
    random_vae,
    write_bundle,
)
from tests.app.server_process import Served, serving
from tests.models.family_cases import family
from vae_client.errors import CallError, Refused

pytestmark = pytest.mark.slow


def test_every_operation_is_a_command_with_its_parameters_and_examples(vae: Vae) -> None:
    for operation in OPERATIONS.values():
        help_ = done(vae(operation.name, "--help")).stdout
        assert "Examples:" in help_
        assert f"vae {operation.name}" in help_
        for name in operation.parameters.model_fields:
            if name not in HIDDEN:
                assert f"--{name.replace('_', '-')}" in help_


def test_every_setting_is_a_flag_of_serve(vae: Vae) -> None:
    help_ = done(vae("serve", "--help")).stdout
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in help_


def test_serve_passes_its_flags_on(vae: Vae, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    served: list[Settings] = []
    monkeypatch.setattr("app.cli.server.serve", served.append)
    done(vae("serve", "--port", "0", "--no-docs", "--cors-origins", "http://a"))
    (settings,) = served
    assert (settings.port, settings.docs, settings.cors_origins) == (0, False, ("http://a",))


def test_models_are_listed_alike_by_their_configs_and_by_a_service(
    vae: Vae, served: Served
) -> None:
    lists = []
    for where in ([], ["--url", served.url]):
        text = done(vae("models", *where)).stdout
        (row,) = (line for line in text.splitlines() if line.split()[:1] == ["mnist-labelled"])
        assert "8 x 8" in row
        assert "grey" in row
        assert "bernoulli" in row
        assert row.split()[-1] == "all"
        listed = json.loads(done(vae("models", "--json", *where)).stdout)
        lists.append([{**one, "status": ""} for one in listed])
    assert lists[0] == lists[1]
    (mnist,) = (one for one in lists[0] if one["default"])
    assert (mnist["name"], mnist["version"]) == ("mnist", 2)
    assert "classify" not in mnist["operations"]
    assert mnist["latent_shape"] == [LATENTS]


def test_a_list_of_models_is_short_about_what_few_can_do_and_what_is_not_loaded(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ImageSpec(channels=1, height=4, width=4, values="unit")
    write_bundle(tmp_path / "models", "pictures", 1, random_vae(family("autoencoder")), image)
    monkeypatch.setenv("VAE_LOAD_MODELS", "others")
    text = done(vae("models", "--model-repository", "models")).stdout
    assert "encode, decode, reconstruct, interpolate" in text
    assert "unloaded" in text


def test_a_key_is_hashed_and_not_shown(vae: Vae) -> None:
    result = done(vae("hash-key", stdin="secret\n"))
    assert result.stdout.split() == [hash_key("secret")]  # a shell puts it into a variable
    assert "secret" not in result.stderr
    assert done(vae("hash-key", "--key", "secret")).stdout.split() == result.stdout.split()


def test_an_empty_key_is_refused(vae: Vae) -> None:
    error = vae("hash-key", stdin="").exception
    assert isinstance(error, CallError)
    assert message_of(error).startswith("The key is empty. Make one: openssl rand")


def test_a_key_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch, vae: Vae) -> None:
    monkeypatch.setattr("app.cli.hash_key.sys", Mock(**{"stdin.isatty.return_value": True}))
    monkeypatch.setattr("app.cli.hash_key.typer.prompt", lambda *words, **options: "secret")
    assert done(vae("hash-key")).stdout == f"{hash_key('secret')}\n"


def test_a_service_with_keys_is_called_with_one(
    repository: Path, tmp_path: Path, vae: Vae, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(repository, tmp_path / "log", "--api-keys-sha256", hash_key("k")) as server:
        refused = vae("models", "--url", server.url)
        assert isinstance(refused.exception, Refused)
        assert message_of(refused.exception) == (
            "The request carries no API key. Use --api-key KEY, with a key from the server's "
            "operator."
        )
        monkeypatch.setenv("VAE_API_KEY", "k")
        done(vae("models", "--url", server.url))
        assert server.client.get("/v1/models").status_code == 401
        bearer = {"Authorization": "Bearer k"}
        assert server.client.get("/v1/models", headers=bearer).status_code == 200


def test_shell_completion_is_offered(vae: Vae) -> None:
    assert "--install-completion" in done(vae("--help")).stdout


def test_the_module_runs_as_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["vae", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("app", run_name="__main__")
    assert stopped.value.code == 0
    assert "log-likelihood" in capsys.readouterr().out
