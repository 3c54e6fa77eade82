"""What goes wrong with a command is one message with a fix."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from app.cli import server
from app.cli.commands import main
from app.cli.refusals import message_of
from tests.app.cli.command_cases import Vae, done, failure, write_pictures
from tests.app.pictures import binary, npy, npz
from tests.app.repository import (
    make_repository,
)
from vae_client.errors import Refused

pytestmark = pytest.mark.slow


def test_failures_are_one_message_and_exit_code_one(
    vae: Vae,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_pictures(tmp_path / "in")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "bad.npy").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_bytes(b"words")
    (tmp_path / "cut.npy").write_bytes(npy(binary())[:100])
    (tmp_path / "cut.npz").write_bytes(npz(images=binary())[:100])
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "z3.npy", np.zeros((2, 3)))
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "two.npz").write_bytes(npz(a=binary(), b=binary()))
    for arguments, words in (
        (["elbo", "nowhere"], "There is no file 'nowhere'. Check the path."),
        (["elbo", "in/0.pgn"], "There is no file 'in/0.pgn'. Did you mean 'in/0.png'?"),
        (["elbo", "*.nothing"], "No picture or array matches '*.nothing'. Read are: .png, "),
        (["elbo", "notes.txt"], "Error: notes.txt: not a picture or array. Read are: .png, "),
        (["elbo", "empty"], "The folder 'empty' holds no picture or array. Read are: "),
        (["elbo", "bad.npy"], "bad.npy is not an array that numpy.save"),
        (["elbo", "cut.npy"], "cut.npy is truncated (100 bytes). Copy or save it again."),
        (["elbo", "cut.npz"], "cut.npz is truncated (100 bytes). Copy or save it again."),
        (["elbo", "text.npy"], "text.npy holds an array of <U1, not of numbers. Save numbers: "),
        (["elbo", "objects.npy"], "objects.npy holds Python objects, not numbers. Save numbers: "),
        (["elbo", "flat.npy"], "flat.npy: The array of images has the shape (3,): it has 1 axis;"),
        (["decode", "z3.npy"], "z3.npy: latents have the shape (2, 3); this model takes (N, "),
        (["elbo", "two.npz"], "two.npz holds a, b; elbo takes images. Save one array of that"),
        (["elbo", "in", "bad.png", "--strict"], "Error: bad.png: The PNG picture is damaged"),
        (["elbo", "bad.png"], "Error: bad.png: The PNG picture is damaged"),
        (["elbo", "in", "-o", "scores.png"], "writes .json, .npy, .npz, .csv, .jsonl, .parquet"),
        (
            ["elbo", "in", "-o", "folder"],
            "a folder, which holds images; elbo gives none. Name a file: --out elbo.csv",
        ),
        (["sample", "-o", "x.csv"], "writes .png"),
        (["decode", "in/0.png"], "Encode it first: vae encode in/0.png -o latents.npy."),
        (["elbo", "in", "--model", "nothing"], "Error: There is no model 'nothing'"),
        (["elbo", "in", "--model", "mnits"], "Did you mean 'mnist'?"),
        (["elbo", "in", "--model", "a/b"], "There is no path"),
        (
            ["elbo", "in", "--num-samples", "100000"],
            "VAE_MAX_NUM_SAMPLES). Send --num-samples 10000.",
        ),
        (
            ["sample", "--label", "seven"],
            "with --label seven: it was trained without labels. Leave --label out.",
        ),
        (["models", "--url", "http://127.0.0.1:9"], "Cannot reach http://127.0.0.1:9: "),
        (["models", "--url", "localhost:8000"], "Use --url http://localhost:8000."),
        (["models", "--url", "ftp://x"], "ftp://x is another form. Use --url http://x."),
        (
            ["models", "--url", "https://x:9/v1"],
            "one; https://x:9/v1 is another form",
        ),
        (["models", "--url", "https://x:9/v1"], "Use --url https://x:9."),
        (["models", "--url", "http://x/a/vae/docs"], "Use --url http://x/a/vae."),
        (["models", "--url", "http://x/vae?n=1"], "Use --url http://x."),
        (["models", "--url", "http://127.0.0.1:9/vae/"], "Cannot reach http://127.0.0.1:9/vae: "),
        (["models", "--url", ""], "Use --url http://localhost."),
        (["elbo", "in", "-o", "no/s.csv"], "there is no folder no. Make it first: mkdir -p no"),
        (
            ["elbo", "in", "-o", "notes.txt/s.csv"],
            "notes.txt is a file, not a folder. Use another one: --out s.csv",
        ),
        (
            ["sample", "-o", "notes.txt/x"],
            "notes.txt is a file, not a folder. Use another one: --out x",
        ),
        (
            ["sample", "-o", "plain"],
            "plain is a file, not a folder. Use another one: --out plain-2",
        ),
    ):
        code, message = failure(capsys, monkeypatch, *arguments)
        assert code == 1, arguments
        assert words in message, (arguments, message)


def test_an_output_that_cannot_be_written_is_refused_before_computing(
    vae: Vae,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("app.cli.run_operation.open_client", None)
    monkeypatch.setattr(Path, "touch", locked)
    code, message = failure(capsys, monkeypatch, "sample", "-o", f"{tmp_path}/x.png")
    assert code == 1
    assert f"{tmp_path}/x.png: {tmp_path} cannot be written (Permission denied)." in message
    assert f"Write elsewhere: --out {Path.home()}/x.png" in message


def test_any_failure_of_a_file_is_one_message(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "x.png")

    monkeypatch.setattr("app.cli.run_operation.choose_target", full)
    code, message = failure(capsys, monkeypatch, "sample", "-o", "x.png")
    assert code == 1
    assert "x.png: No space left on device; no file is half written. Free space" in message


def test_a_fault_of_this_project_keeps_its_traceback(
    vae: Vae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.run_operation.choose_target", None)
    monkeypatch.setattr("sys.argv", ["vae", "sample"])
    with pytest.raises(TypeError):
        main()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "VAE_DEFAULT_MODEL",
            "mnits",
            "VAE_DEFAULT_MODEL=mnits names no model here. Did you mean 'mnist'? Available: ",
        ),
        (
            "VAE_MODEL_REPOSITORY",
            "/nowhere",
            "VAE_MODEL_REPOSITORY=/nowhere does not exist. Set it to a folder of bundles",
        ),
        ("VAE_MODEL_REPOSITORY", __file__, f"VAE_MODEL_REPOSITORY={__file__} is not a folder."),
        ("VAE_DEVICE", "gpu", "VAE_DEVICE=gpu is not a torch device, such as cpu or cuda:0."),
        ("VAE_DEVICE", "cuda:99", "VAE_DEVICE=cuda:99 is not available on this machine."),
        ("VAE_DEVICE", "gpu", "Use VAE_DEVICE=cpu."),
        ("VAE_DEVICE", "meta", "VAE_DEVICE=meta is not available on this machine."),
        ("VAE_MODEL_REPOSITORY", "/dev/null", "VAE_MODEL_REPOSITORY=/dev/null is not a folder."),
    ],
)
@pytest.mark.parametrize("command", ["sample", "serve"])
def test_a_setting_that_names_nothing_is_refused_before_any_model_is_loaded(
    vae: Vae,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("app.cli.server.serve", None)
    monkeypatch.setattr("app.main.create_app", None)
    code, message = failure(capsys, monkeypatch, command)
    assert code == 1
    assert words in message


def test_a_port_in_use_is_refused_with_another_one(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "make_registry", None)  # no model is loaded
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, message = failure(capsys, monkeypatch, "serve", "--port", str(port))
    assert code == 1
    other = port + 1 if port < 65535 else 65534
    assert f"Port {port} on 127.0.0.1 is in use." in message
    assert f"Take another one: vae serve --port {other}." in message


def test_a_host_of_another_machine_is_refused(
    vae: Vae, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "make_registry", None)  # no model is loaded
    monkeypatch.setattr(os, "environ", dict(os.environ))
    code, message = failure(capsys, monkeypatch, "serve", "--host", "192.0.2.1")
    assert code == 1
    assert "Cannot listen on 192.0.2.1 (" in message
    assert "vae serve --host 127.0.0.1." in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "--n", "0"], "--n 0 is not a whole number of at least 1. Use --n 1."),
        (["sample", "--output", "nonsense"], "--output nonsense is not one of mean, sample."),
        (["log-likelihood", "x", "--estimator", "iwea"], "Did you mean 'iwae'?"),
        (["elbo", "x", "--batch-size", "many"], "is not a whole number of at least 1."),
        (["sample", "--n", "1_0"], "--n 1_0 is not a whole number of at least 1. Use --n 16."),
        (["sample", "--seed", "\u0663"], "is not a whole number from 0 to"),
        (["sample", "--temperature", "nan"], "--temperature nan is not a number from 0 to 2."),
        (["sample", "--temperature", "1_0.5"], "--temperature 1_0.5 is not a number from 0 to 2."),
        (["serve", "--port", "+1"], "--port +1 is not a whole number from 0 to 65535."),
        (["elbo", "x", "--version", "1.0"], "--version 1.0 is not a whole number"),
        (["elbo", "x", "--version", "first"], "--version first is not a whole number"),
        (["elbo"], "FILES"),
        (["encod", "x.png"], "encode"),
    ],
)
def test_a_wrong_command_line_is_exit_code_two_and_gets_a_fix(
    vae: Vae, arguments: list[str], words: str
) -> None:
    result = vae(*arguments)
    assert result.exit_code == 2
    printed = " ".join(result.output.replace("│", " ").split())
    assert words in printed
    assert "Input should" not in printed


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VAE_PORT", "70000", "VAE_PORT=70000 is not a whole number from 0 to 65535."),
        ("VAE_LOG_LEVEL", "inof", "VAE_LOG_LEVEL=inof is not one of debug, info,"),
        ("VAE_API_KEYS_SHA256", '["secret"]', "not a sha256 in hex. Hash the key: vae hash-key."),
        (
            "VAE_API_KEYS_SHA256",
            "secret,secret",
            "not a sha256 in hex. Hash the key: vae hash-key.",
        ),
        (
            "VAE_CORS_ORIGINS",
            "[http://a",
            "VAE_CORS_ORIGINS is not a list of words. Separate them by commas: "
            "VAE_CORS_ORIGINS=http://a,http://b.",
        ),
        (
            "VAE_PORT",
            "tcp://10.0.0.1:80",
            "VAE_PORT=tcp://10.0.0.1:80 is not a port: Kubernetes sets it in a pod beside a "
            "service named 'vae'. Put enableServiceLinks: false into the pod's spec, or set "
            "VAE_PORT=8000 there.",
        ),
        (
            "VAE_MAX_ITEMS",
            "1e6",
            "VAE_MAX_ITEMS=1e6 is not a whole number above 0. Use VAE_MAX_ITEM",
        ),
        ("VAE_COMPUTE_THREADS", "5000", "is not a whole number above 0 and at most 4096."),
        ("VAE_DOCS", "maybe", "VAE_DOCS=maybe is not true or false. Use VAE_DOCS=true."),
        ("VAE_SETTINGS_FILE", "/nowhere.toml", "VAE_SETTINGS_FILE=/nowhere.toml is not a file."),
        ("VAE_SETTINGS_FILE", "prot = 1", "There is no setting 'prot'. Did you mean 'port'?"),
        ("VAE_SETTINGS_FILE", "VAE_PORT = 1", "no setting 'VAE_PORT'. Did you mean 'port'?"),
        (
            "VAE_SETTINGS_FILE",
            "port = 70000",
            "settings.toml: VAE_PORT=70000 is not a whole number",
        ),
        ("VAE_SETTINGS_FILE", "zzzzzz = 1", "docs/deployment.md lists the settings."),
        ("VAE_SETTINGS_FILE", "port =", "(VAE_SETTINGS_FILE) is not TOML in UTF-8"),
    ],
)
def test_a_wrong_setting_is_explained_without_pydantics_words(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    value: str,
    words: str,
) -> None:
    if " " in value:
        file = tmp_path / "settings.toml"
        file.write_text(value)
        value = str(file)
    monkeypatch.setenv(variable, value)
    code, message = failure(capsys, monkeypatch, "serve")
    assert code == 1
    assert words in message
    assert "pydantic" not in message
    assert "secret" not in message


def test_without_any_model_the_commands_say_so(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(tmp_path))
    result = vae("sample")
    words = (
        f"{tmp_path} holds no bundles, <model>/<version>/. Export one into it: vae-lab export "
        f"runs/NAME --repository {tmp_path}"
    )
    assert str(result.exception) == f"VAE_MODEL_REPOSITORY={words}"
    for command in ("models", "sample"):
        named = vae(command, "--model-repository", str(tmp_path))
        assert str(named.exception) == f"--model-repository {words}"
    missing = vae("models", "--model-repository", "nowhere")
    assert str(missing.exception) == (
        "--model-repository nowhere does not exist. Name a folder of bundles, <model>/<version>/, "
        "or leave it out for the models that come with this project."
    )


def test_of_several_models_a_command_asks_for_one(
    vae: Vae, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_repository(tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "mnist")
    (tmp_path / "models" / "[b]" / "1").mkdir(parents=True)
    monkeypatch.setenv("VAE_MODEL_REPOSITORY", str(tmp_path / "models"))
    assert str(vae("sample").exception) == (
        "There is no default model. Name one with --model colour; available: colour, "
        "mnist-labelled, oracle."
    )
    listed = done(vae("models")).stdout
    assert "[b]" in listed
    assert "None" not in listed
    assert "refused" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (
            "mnist cannot sample with label=7: it was trained without labels. mnist-labelled can, "
            "or leave label out.",
            "mnist cannot sample with --label 7: it was trained without labels. --model "
            "mnist-labelled can, or leave --label out.",
        ),
        ("It has no labels. a and b-2 can.", "It has no labels. --model a and b-2 can."),
        (
            "Version 9 of mnist does not exist. Leave the version out for the highest: "
            "/v1/models/mnist.",
            "Version 9 of mnist does not exist. Leave --version out for the highest: --model "
            "mnist.",
        ),
        (
            "n=5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Ask for n=1024 with the "
            "same seed and first_item=0, 1024, ...; the result is identical.",
            "--n 5000 is over this server's limit of 1024 (VAE_MAX_ITEMS). Use --batch-size 1024; "
            "the result is identical.",
        ),
        (
            "The limit is 1 M. Send 20 images per request, or num_samples=4217.",
            "The limit is 1 M. Use --batch-size 20, or --num-samples 4217.",
        ),
        (
            "Send the header Authorization: Bearer KEY, with a key of the operator.",
            "Use --api-key KEY, with a key of the operator.",
        ),
        ("It is broken; GET /v1/models says why.", "It is broken; `vae models` says why."),
        ("label is missing. Add label=0.", "--label is missing. Add --label 0."),
        ("There is no path /v1/models/a/b.", "There is no path /v1/models/a/b."),
    ],
)
def test_a_refusal_names_the_options_of_the_command(refusal: str, expected: str) -> None:
    assert message_of(Refused(refusal)) == expected
